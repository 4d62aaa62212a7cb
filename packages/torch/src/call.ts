import { type DType, dtypeCode } from "./dtype.js";
import { TorchError } from "./errors.js";
import { Operator } from "./invoke.js";
import { firstList, firstTensors, nextList, nextTensors } from "./lists.js";
import { Tensor } from "./tensor.js";

const operators = new Map<string, Operator>();

/**
 * Calls any operator of the dispatcher: `call("aten::clamp.Tensor", x, low, high)`. Arguments go by position, in the
 * order of the schema, those after `*` included; `undefined` takes a default, `null` is None. Tensors are tensors,
 * dtypes and devices are strings.
 * @returns a tensor, a number, null, or an array of them; in-place results are the argument itself
 * @throws TorchError
 */
export function call(name: string, ...args: unknown[]): unknown {
  let operator = operators.get(name);
  if (!operator) {
    const dot = name.indexOf(".", name.indexOf("::"));
    operator = dot < 0 ? new Operator(name, "") : new Operator(name.slice(0, dot), name.slice(dot + 1));
    operators.set(name, operator);
  }
  const { arguments: described, aliases, returns } = operator.description;
  if (args.length > described.length) {
    throw new TorchError(
      `${name} takes ${described.length} arguments, got ${args.length}: ${operator.description.schema}`,
    );
  }
  let isFirst = true;
  const lowered = args.map((value, index) => {
    const [argument, type, , fixedSize] = described[index]!;
    if (!type.includes("[]")) return lower(name, type, value);
    const write = isFirst ? { list: firstList, tensors: firstTensors } : { list: nextList, tensors: nextTensors };
    isFirst = false;
    if (value == null) return value;
    if (!Array.isArray(value) && !(typeof value === "number" && fixedSize > 0)) {
      throw new TorchError(
        `${name}: argument '${argument}': expected an array (${type}), got ${JSON.stringify(value)}`,
      );
    }
    if (!type.startsWith("Tensor")) return write.list(value, fixedSize);
    for (const element of value as unknown[]) lower(name, "Tensor", element); // refuses numbers
    return write.tensors(value as (Tensor | null)[]);
  });
  const result = operator.run(...lowered);
  if (returns.length === 0) return undefined;
  if (returns.length === 1) return lift(returns[0]!, aliases[0]!, result, args);
  return (result as unknown[]).map((value, index) => lift(returns[index]!, aliases[index]!, value, args));
}

function lower(name: string, type: string, value: unknown): unknown {
  if (value instanceof Tensor) return value.handle;
  if (type.startsWith("Tensor") && typeof value === "number") {
    throw new TorchError(`${name}: a tensor is expected, got the number ${value}: tensor(${value}) makes one`);
  }
  if (type.startsWith("ScalarType") && typeof value === "string") return dtypeCode(value as DType);
  return value;
}

function lift(type: string, alias: number, value: unknown, args: unknown[]): unknown {
  if (alias >= 0) return args[alias];
  if (!type.startsWith("Tensor") || value === null) return value;
  return Array.isArray(value) ? value.map((handle: number) => new Tensor(handle)) : new Tensor(value as number);
}
