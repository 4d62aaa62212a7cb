import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { withinSeconds } from "./within-seconds.js";

/** A template that a checkpoint brings is a program by a stranger. These are what one rendering may take. */
export const jinjaLimits = { seconds: 2, work: 10_000_000, stringLength: 4_000_000 } as const;

/** What a template says itself, by `raise_exception`. */
export class TemplateRefusal extends Error {}

/** A node of a parsed template, as far as it is looked at here. */
export interface JinjaNode {
  readonly type: string;
}

/** What is used of the library, whose own types TypeScript does not find (imports without an ending). */
interface Scope {
  set(name: string, value: unknown): Value;
}
interface Value {
  readonly value: unknown;
}
interface Evaluator {
  run(program: JinjaNode): Value;
  evaluate(statement: JinjaNode | undefined, scope: Scope): Value;
}
interface Comparison extends JinjaNode {
  readonly operator: { readonly value: string };
  readonly left: JinjaNode;
  readonly right: JinjaNode;
}
const newScope = () => new Environment() as Scope;

/**
 * Parses a template as transformers does: blocks take the line that they stand on with them.
 * @throws Error when it is no Jinja that the library knows, or parsing takes too long
 */
export function parseJinja(source: string): JinjaNode {
  return withinSeconds(jinjaLimits.seconds, () => new Template(source).parsed as JinjaNode);
}

/**
 * The text that a template makes of its variables, together with the functions that transformers gives every template.
 * @throws TemplateRefusal when the template calls `raise_exception`
 * @throws Error when it fails, or goes over the limits
 */
export function renderJinja(program: JinjaNode, variables: Readonly<Record<string, unknown>>, now: Date): string {
  const budget = new Budget();
  const scope = newScope();
  for (const [name, value] of Object.entries(constants)) scope.set(name, value);
  scope.set("raise_exception", (message: unknown) => {
    throw new TemplateRefusal(String(message));
  });
  scope.set("range", (...bounds: unknown[]) => range(budget, bounds));
  scope.set("strftime_now", (format: string) => strftime(now, format));
  for (const [name, value] of Object.entries(variables)) scope.set(name, value);
  const interpreter = new BoundedInterpreter(scope, budget);
  return withinSeconds(jinjaLimits.seconds, () => String(interpreter.run(program).value));
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null };

/** Every value that a template computes is paid for, by its size, what lies in it included. */
class Budget {
  #left: number = jinjaLimits.work;
  readonly #sizes = new WeakMap<object, number>();

  /** @throws Error when the value is too large, or all together were */
  pay(value: unknown): void {
    if (typeof value === "string") requireLength(value.length);
    this.take(this.#sizeOf(value));
  }

  /** For a text that is about to be made. @throws Error when it would be too long */
  foresee(length: number): void {
    requireLength(length);
    this.take(length / CHARACTERS);
  }

  take(work: number): void {
    this.#left -= work;
    if (!(this.#left >= 0)) throw new Error(`it takes more than ${jinjaLimits.work} steps`); // NaN is no budget
  }

  /** How much there is to write of a value. Lists can share what lies in them, so that their size is soon beyond all memory. */
  #sizeOf(value: unknown): number {
    if (typeof value === "string") return 1 + value.length / CHARACTERS;
    if (typeof value !== "object" || value === null) return 1;
    const known = this.#sizes.get(value);
    if (known !== undefined) return known;
    this.#sizes.set(value, 1); // a value that lies in itself
    let size = 1;
    for (const item of value instanceof Map ? value.values() : Array.isArray(value) ? value : []) {
      size += this.#sizeOf((item as Value).value);
      if (size > LARGEST) throw new Error(`a list or dictionary grew over a size of ${LARGEST}`);
    }
    if (Array.isArray(value)) this.#sizes.set(value, size);
    else this.#sizes.delete(value); // a namespace changes
    return size;
  }
}

/** As many characters cost as much as one step. */
const CHARACTERS = 16;
/** Of lists and dictionaries, with all that lies in them, in such steps. */
const LARGEST = 1_000_000;

function requireLength(length: number): void {
  if (length > jinjaLimits.stringLength) throw new Error(`a text grew over ${jinjaLimits.stringLength} characters`);
}

/** The library's interpreter, made to pay, and to compare as Python does: to the library `'' == false`. */
class BoundedInterpreter extends (Interpreter as new (scope: Scope) => Evaluator) {
  readonly #budget: Budget;

  constructor(scope: Scope, budget: Budget) {
    super(scope);
    this.#budget = budget;
  }

  override evaluate(statement: JinjaNode | undefined, scope: Scope): Value {
    const result = this.#evaluate(statement, scope);
    this.#budget.pay(result.value);
    return result;
  }

  #evaluate(node: JinjaNode | undefined, scope: Scope): Value {
    if (node?.type === "Given") return (node as Given).is;
    if (isComparison(node)) return this.#compare(node, scope);
    return super.evaluate(this.#foreseen(node, scope), scope);
  }

  /** A filter or method that makes one text longer by another, with both found first: what it makes is paid before. */
  #foreseen(node: JinjaNode | undefined, scope: Scope): JinjaNode | undefined {
    const { operand, filter, body } = (node ?? {}) as Partial<Filtered>;
    const isFilter = node?.type === "FilterExpression" || node?.type === "FilterStatement";
    if (isFilter && filter?.type === "CallExpression" && isGrowing(filter.callee.value)) {
      const text = this.evaluate(operand ?? ({ type: "Program", body } as JinjaNode), scope);
      const args = this.#found(filter.args, scope);
      this.#budget.foresee(grown(filter.callee.value, text.value, args));
      return { type: "FilterExpression", operand: given(text), filter: { ...filter, args } } as JinjaNode;
    }
    const { callee, args } = (node ?? {}) as Partial<Called>;
    if (node?.type === "CallExpression" && callee?.type === "MemberExpression" && isGrowing(callee.property.value)) {
      const text = this.evaluate(callee.object, scope);
      const found = this.#found(args!, scope);
      this.#budget.foresee(grown(callee.property.value, text.value, found));
      return { ...node, callee: { ...callee, object: given(text) }, args: found } as JinjaNode;
    }
    return node;
  }

  #found(args: readonly Argument[], scope: Scope): Argument[] {
    return args.map((argument) => {
      if (argument.type === "KeywordArgumentExpression") {
        return { ...argument, value: given(this.evaluate(argument.value, scope)) };
      }
      if (!argument.type.includes("Spread")) return given(this.evaluate(argument, scope));
      throw new Error("what * and ** unpack can't be given to a filter here");
    });
  }

  #compare({ operator, left, right }: Comparison, scope: Scope): Value {
    const isEqual = equals(this.evaluate(left, scope).value, this.evaluate(right, scope).value);
    return isEqual === (operator.value === "==") ? yes : no;
  }
}

/** A value in the place of the expression that it was found by. */
interface Given extends JinjaNode {
  readonly is: Value;
}
interface Argument extends JinjaNode {
  readonly value?: JinjaNode;
}
interface Name extends JinjaNode {
  readonly value: string;
}
interface Filtered extends JinjaNode {
  readonly operand: JinjaNode;
  readonly filter: JinjaNode & { readonly callee: Name; readonly args: readonly Argument[] };
  readonly body: readonly JinjaNode[];
}
interface Called extends JinjaNode {
  readonly callee: JinjaNode & { readonly object: JinjaNode; readonly property: Name };
  readonly args: readonly Argument[];
}

function given(is: Value): Given {
  return { type: "Given", is };
}

function isGrowing(name: string): boolean {
  return ["indent", "join", "replace", "tojson"].includes(name);
}

/** The length, at most, that a text or list takes of such a filter or method. */
function grown(name: string, value: unknown, args: readonly Argument[]): number {
  const [first, ...others] = args.map((argument) => (argument.value ?? argument) as Given).map(({ is }) => is.value);
  const widths = [first, ...others].map((width) => (typeof width === "string" ? width.length : Number(width ?? 0)));
  const widest = Math.max(0, ...widths.filter(Number.isFinite));
  const places = { indent: "\n", join: "", tojson: "", replace: String(first) }[name] ?? "";
  if (typeof value === "string") return value.length + (value.split(places).length + 1) * widest;
  return (Array.isArray(value) ? value.length : 1) * widest;
}

const yes = newScope().set("yes", true);
const no = newScope().set("no", false);

function isComparison(node: JinjaNode | undefined): node is Comparison {
  return node?.type === "BinaryExpression" && ["==", "!="].includes((node as Comparison).operator.value);
}

/** Python's `==` of two values: lists and dictionaries by what is in them, True as 1. */
function equals(a: unknown, b: unknown): boolean {
  if (typeof a === "boolean") return equals(Number(a), b);
  if (typeof b === "boolean") return equals(a, Number(b));
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item: Value, index) => equals(item.value, (b[index] as Value).value));
  }
  if (a instanceof Map && b instanceof Map) {
    const isIn = ([key, item]: [unknown, Value]) => b.has(key) && equals(item.value, (b.get(key) as Value).value);
    return a.size === b.size && [...a].every(isIn);
  }
  return a === b;
}

/** Python's `range`. */
function range(budget: Budget, bounds: readonly unknown[]): number[] {
  if (!isWhole(bounds)) throw new Error(`range() takes 1 to 3 whole numbers, not ${JSON.stringify(bounds)}`);
  const [start, stop, step] = bounds.length > 1 ? [bounds[0]!, bounds[1]!, bounds[2] ?? 1] : [0, bounds[0]!, 1];
  if (step === 0) throw new Error("range() takes no step of 0");
  const count = Math.max(0, Math.ceil((stop - start) / step));
  budget.take(count);
  return Array.from({ length: count }, (_, index) => start + index * step);
}

function isWhole(bounds: readonly unknown[]): bounds is readonly number[] {
  return bounds.length >= 1 && bounds.length <= 3 && bounds.every(Number.isSafeInteger);
}

const months = "January February March April May June July August September October November December".split(" ");
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** Python's `strftime` in English: the directives that name a day or a time of day. */
function strftime(date: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const month = months[date.getMonth()]!;
  const day = days[date.getDay()]!;
  const directives: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    B: month,
    b: month.slice(0, 3),
    d: two(date.getDate()),
    A: day,
    a: day.slice(0, 3),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    p: date.getHours() < 12 ? "AM" : "PM",
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    "%": "%",
  };
  return format.replace(/%([a-zA-Z%])/g, (whole, letter: string) => directives[letter] ?? whole);
}
