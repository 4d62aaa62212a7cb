import type { JinjaNode } from "./bounded-jinja.js";

/** The nodes that are asked about, with the fields that the library gives them. */
interface Member extends JinjaNode {
  readonly property: JinjaNode & { readonly value?: unknown };
}
interface Named extends JinjaNode {
  readonly value: string;
}

/** Whether a template loops over the parts of a message's content, as those of vision-language models do. */
export function takesParts(program: JinjaNode): boolean {
  const nodes = [...nodesOf(program)];
  const aliases = new Set(["content"]);
  for (const node of nodes) {
    const { type, assignee, value } = node as JinjaNode & { assignee?: JinjaNode; value?: JinjaNode };
    if (type === "Set" && assignee?.type === "Identifier" && value && isContent(value, aliases)) {
      aliases.add((assignee as Named).value);
    }
  }
  return nodes.some((node) => node.type === "For" && isContent((node as unknown as Loop).iterable, aliases));
}

interface Loop {
  readonly iterable: JinjaNode;
}

/** Whether a template asks whether something is a string. */
export function testsForStrings(program: JinjaNode): boolean {
  for (const node of nodesOf(program)) {
    if (node.type === "TestExpression" && (node as unknown as { test: Named }).test.value === "string") return true;
  }
  return false;
}

/** `message.content`, `message['content']` or a variable that holds it, filtered or not. */
function isContent(node: JinjaNode, aliases: ReadonlySet<string>): boolean {
  if (node.type === "FilterExpression") return isContent((node as unknown as { operand: JinjaNode }).operand, aliases);
  if (node.type === "SelectExpression") return isContent((node as unknown as { lhs: JinjaNode }).lhs, aliases);
  if (node.type === "Identifier") return aliases.has((node as Named).value);
  return node.type === "MemberExpression" && (node as Member).property.value === "content";
}

/** A template's nodes, outer ones first. Their order among neighbours is the template's. */
function* nodesOf(root: JinjaNode): Generator<JinjaNode> {
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next !== "object" || next === null) continue;
    if ("type" in next) yield next as JinjaNode;
    const inside = next instanceof Map ? [...next.entries()].flat() : Object.values(next);
    waiting.push(...inside.reverse());
  }
}
