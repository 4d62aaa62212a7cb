import { dtypeOf } from "./dtype.js";
import { TorchError } from "./errors.js";
import { sharedList } from "./lists.js";
import { native, type OperatorDescription } from "./native.js";

/** An operator of libtorch's dispatcher, looked up at its first call. */
export class Operator {
  #description: OperatorDescription | undefined;
  #call: OperatorDescription["call"] | undefined;

  constructor(
    readonly name: string,
    readonly overload: string,
  ) {}

  get description(): OperatorDescription {
    this.#description ??= this.#find();
    return this.#description;
  }

  /**
   * Calls with handles in the tensors' places, and lists' lengths in theirs (lists.ts); returns handles.
   * @throws TorchError
   */
  run(...args: unknown[]): unknown {
    this.#call ??= this.description.call;
    try {
      return this.#call(...args);
    } catch (error) {
      throw explain(this, args, error);
    }
  }

  #find(): OperatorDescription {
    const found = native.findOperator(this.name, this.overload);
    if (!found) {
      const known = native
        .listOperators()
        .filter((name) => name === this.name || name.startsWith(`${this.name}.`))
        .map((name) => (name === this.name ? `${name} (no overload)` : name));
      throw new TorchError(
        `${this.label}: libtorch has no such operator. ${known.length > 0 ? `It has: ${known.join(", ")}.` : "No overload of that name either."}`,
      );
    }
    return found;
  }

  get label(): string {
    return this.overload ? `${this.name}.${this.overload}` : this.name;
  }
}

/** Runs what is no operator of the dispatcher, so that it fails as operators do. @throws TorchError that begins with `name` */
export function asTorch<T>(name: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const isOfAddon = String((error as { code?: string }).code).startsWith("ASVR_");
    throw isOfAddon ? new TorchError(`${name}: ${(error as Error).message.trim()}`, { cause: error }) : error;
  }
}

/** The message of a failed call: operator, arguments with shapes and dtypes, then libtorch's own text. */
function explain(operator: Operator, args: unknown[], cause: unknown): Error {
  let listStart = 0;
  const described = operator.description.arguments.slice(0, args.length).map(([name, type], index) => {
    const value = args[index];
    if (!type.includes("[]") || typeof value !== "number") return `${name}: ${describe(type, value)}`;
    const list = sharedList(listStart, value);
    listStart += value;
    const elements = type.startsWith("Tensor") ? list.map((handle) => describe("Tensor", handle)) : list;
    return `${name}: [${elements.join(", ")}]`;
  });
  const text = cause instanceof Error ? cause.message : String(cause);
  return new TorchError(`${operator.label}(${described.join(", ")}): ${text.trim()}`, { cause });
}

function describe(type: string, value: unknown): string {
  if (value === undefined) return "default";
  if (value === null) return "none";
  if (type === "Tensor" || type === "Tensor?") return describeTensor(value as number);
  return JSON.stringify(value);
}

export function describeTensor(handle: number): string {
  try {
    return `(${native.shape(handle).join(", ")}) ${dtypeOf(native.dtype(handle))}`;
  } catch {
    return "a freed tensor";
  }
}
