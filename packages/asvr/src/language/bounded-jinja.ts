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
  scope.set("range", (...bounds: number[]) => range(budget, bounds));
  scope.set("strftime_now", (format: string) => strftime(now, format));
  for (const [name, value] of Object.entries(variables)) scope.set(name, value);
  const interpreter = new BoundedInterpreter(scope, budget);
  return withinSeconds(jinjaLimits.seconds, () => String(interpreter.run(program).value));
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null };

/** Every value that a template computes is paid for, by its size. */
class Budget {
  #left: number = jinjaLimits.work;

  pay(value: unknown): void {
    if (typeof value === "string" && value.length > jinjaLimits.stringLength) {
      throw new Error(`a text grew over ${jinjaLimits.stringLength} characters`);
    }
    if (typeof value === "string") this.take(1 + value.length / 16);
    else this.take(Array.isArray(value) ? 1 + value.length : 1);
  }

  take(work: number): void {
    this.#left -= work;
    if (this.#left < 0) throw new Error(`it takes more than ${jinjaLimits.work} steps`);
  }
}

/** The library's interpreter, made to pay, and to compare as Python does: to the library `'' == false`. */
class BoundedInterpreter extends (Interpreter as new (scope: Scope) => Evaluator) {
  readonly #budget: Budget;

  constructor(scope: Scope, budget: Budget) {
    super(scope);
    this.#budget = budget;
  }

  override evaluate(statement: JinjaNode | undefined, scope: Scope): Value {
    const result = isComparison(statement) ? this.#compare(statement, scope) : super.evaluate(statement, scope);
    this.#budget.pay(result.value);
    return result;
  }

  #compare({ operator, left, right }: Comparison, scope: Scope): Value {
    const isEqual = equals(this.evaluate(left, scope).value, this.evaluate(right, scope).value);
    return isEqual === (operator.value === "==") ? yes : no;
  }
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
function range(budget: Budget, bounds: readonly number[]): number[] {
  const [start, stop, step] = bounds.length > 1 ? [bounds[0]!, bounds[1]!, bounds[2] ?? 1] : [0, bounds[0]!, 1];
  if (step === 0) throw new Error("range() takes no step of 0");
  const count = Math.max(0, Math.ceil((stop - start) / step));
  budget.take(count);
  return Array.from({ length: count }, (_, index) => start + index * step);
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
