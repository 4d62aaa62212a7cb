import { dtypeOf } from "./dtype.js";
import { TorchError } from "./errors.js";
import { native, type OperatorDescription } from "./native.js";

/** An operator of libtorch's dispatcher, looked up at its first call. */
export class Operator {
  #description: OperatorDescription | undefined;

  constructor(
    readonly name: string,
    readonly overload: string,
  ) {}

  get description(): OperatorDescription {
    this.#description ??= this.#find();
    return this.#description;
  }

  /** Calls with handles in the tensors' places; returns handles. @throws TorchError */
  run(...args: unknown[]): unknown {
    const { id } = this.#description ?? this.description;
    try {
      return native.call(id, ...args);
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

/** The message of a failed call: operator, arguments with shapes and dtypes, then libtorch's own text. */
function explain(operator: Operator, args: unknown[], cause: unknown): Error {
  const described = operator.description.arguments
    .slice(0, args.length)
    .map(([name, type], index) => `${name}: ${describe(type, args[index])}`);
  const text = cause instanceof Error ? cause.message : String(cause);
  return new TorchError(`${operator.label}(${described.join(", ")}): ${text.trim()}`, { cause });
}

function describe(type: string, value: unknown): string {
  if (value === undefined) return "default";
  if (value === null) return "none";
  if (!type.startsWith("Tensor")) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((element) => describe("Tensor", element)).join(", ")}]`;
  return describeTensor(value as number);
}

export function describeTensor(handle: number): string {
  try {
    return `(${native.shape(handle).join(", ")}) ${dtypeOf(native.dtype(handle))}`;
  } catch {
    return "a freed tensor";
  }
}
