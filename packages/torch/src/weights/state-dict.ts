import { type Fail, PickledTensor, type PickleValue } from "./pickle-values.js";

/** The tensors in a value, by the path of keys to each, from the dict at the path `inside` on. */
export interface FoundTensors {
  readonly inside: string;
  readonly tensors: ReadonlyMap<string, PickledTensor>;
}

const MAX_DEPTH = 100;
/** One dict may be in many places of another: what is visited, not what is there, has to be bounded. */
const MAX_VISITS = 1_000_000;
/** A name is spelled out once for each tensor: half a megabyte of keys can make gigabytes of names. */
const MAX_NAME = 4096;
const MAX_NAMES = 64 * 2 ** 20;

/**
 * Finds tensors in nested dicts, lists and tuples. A name is the keys on the way, joined by dots.
 * @param inside the path of the dict to take, "" for the outermost. Undefined takes the outermost if a tensor lies in
 * it directly; otherwise the one dict in it that a tensor lies in directly (`state_dict`, `model`).
 * @throws by `fail`, when there is no such dict, or several are as good
 */
export function findTensors(root: PickleValue, inside: string | undefined, fail: Fail): FoundTensors {
  const chosen = inside ?? choose(root, fail);
  const start = at(root, chosen);
  if (start === undefined) return fail(`there is no ${quoted(chosen)} in it. There are: ${keysOf(root)}`);
  const tensors = new Map<string, PickledTensor>();
  const open = new Set<PickleValue>();
  let visits = 0;
  let letters = 0;
  const visit = (value: PickleValue, name: string, depth: number): void => {
    if (++visits > MAX_VISITS) fail("its dicts hold more than any state dict does");
    if (value instanceof PickledTensor) {
      if (tensors.has(name)) fail(`two tensors are named ${quoted(name)}`);
      tensors.set(name, value);
      return;
    }
    if (!isContainer(value)) return;
    if (depth > MAX_DEPTH) fail(`its dicts are nested more than ${MAX_DEPTH} deep`);
    if (open.has(value)) fail(`${quoted(name)} holds itself`);
    open.add(value);
    for (const [key, element] of value.entries()) {
      const length = name.length + 1 + keyText(key).length;
      letters += length;
      if (length > MAX_NAME) fail(`a name in it has ${length} letters: ${quoted(`${name}.${keyText(key)}`)}`);
      if (letters > MAX_NAMES) fail("its names are longer together than those of any state dict");
      if (isContainer(element) || element instanceof PickledTensor) visit(element, join(name, key), depth + 1);
      else visits++;
    }
    open.delete(value);
  };
  visit(start, "", 0);
  return { inside: chosen, tensors };
}

function choose(root: PickleValue, fail: Fail): string {
  if (!(root instanceof Map) || holdsTensors(root)) return "";
  const holding = [...root].filter(([, value]) => holdsTensors(value)).map(([key]) => String(key));
  if (holding.length > 1) {
    fail(`tensors are in ${holding.slice(0, 20).map(quoted).join(", ")}: say which to open, by \`inside\``);
  }
  return holding[0] ?? "";
}

function holdsTensors(value: PickleValue): boolean {
  return value instanceof Map && [...value.values()].some((element) => element instanceof PickledTensor);
}

/** The value at a path; a key may have dots itself. */
function at(value: PickleValue, path: string): PickleValue | undefined {
  if (path === "") return value;
  if (!isContainer(value)) return undefined;
  for (const [key, element] of value.entries()) {
    const text = keyText(key);
    if (text === path) return element;
    const deeper = text !== "" && path.startsWith(`${text}.`) ? at(element, path.slice(text.length + 1)) : undefined;
    if (deeper !== undefined) return deeper;
  }
  return undefined;
}

function join(name: string, key: PickleValue): string {
  return name === "" ? keyText(key) : `${name}.${keyText(key)}`;
}

/** A tuple is no part of a name that could be asked for; it could also be endless, spelled out. */
function keyText(key: PickleValue): string {
  return typeof key === "object" && key !== null ? "()" : String(key);
}

function keysOf(root: PickleValue): string {
  if (!(root instanceof Map)) return "no keys";
  const keys = [...root.keys()].slice(0, 20).map((key) => quoted(keyText(key)));
  return `${keys.join(", ")}${root.size > 20 ? ` and ${root.size - 20} more` : ""}`;
}

/** A name as a message shows it. */
function quoted(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}

function isContainer(value: PickleValue): value is Map<PickleValue, PickleValue> | readonly PickleValue[] {
  return value instanceof Map || Array.isArray(value);
}
