import { DtypeError, ShapeError } from "./errors.js";

/** A number, or arrays of them in as many levels as the tensor has dimensions. */
export type NestedNumbers = number | boolean | readonly NestedNumbers[];

/** What libtorch computes with has no more dimensions. */
const MOST_DIMENSIONS = 64;

/**
 * Nested arrays as a shape and the numbers in row-major order.
 * @throws ShapeError when arrays of one level differ in length, or one holds itself
 * @throws DtypeError for an element that is neither a number nor a boolean
 */
export function readNested(values: NestedNumbers): { shape: number[]; numbers: Float64Array } {
  const shape: number[] = [];
  for (let level: NestedNumbers | undefined = values; Array.isArray(level); level = level[0]) {
    if (shape.push(level.length) > MOST_DIMENSIONS) {
      throw new ShapeError(`tensor: the arrays lie in more than ${MOST_DIMENSIONS} levels. Does one hold itself?`);
    }
  }
  const numbers: number[] = [];
  append(values, []);
  return { shape, numbers: Float64Array.from(numbers) };

  function append(value: NestedNumbers, place: readonly number[]): void {
    const length = shape[place.length];
    if (length === undefined && (typeof value === "number" || typeof value === "boolean")) numbers.push(Number(value));
    else if (length !== undefined && Array.isArray(value) && value.length === length) {
      for (let i = 0; i < length; i++) append(value[i], [...place, i]);
    } else throw misfit(value, length, place);
  }
}

function misfit(value: unknown, length: number | undefined, place: readonly number[]): Error {
  const where = place.length > 0 ? `at [${place.join("][")}]` : "the value";
  if (Array.isArray(value) || typeof value === "number" || typeof value === "boolean") {
    const wanted = length === undefined ? "a number" : `an array of ${length}`;
    const got = Array.isArray(value) ? `an array of ${value.length}` : String(value);
    return new ShapeError(`tensor: ${where}: ${got}, where the first of its level is ${wanted}`);
  }
  const kind = value === null ? "null" : typeof value;
  return new DtypeError(`tensor: ${where}: numbers and booleans are taken, got ${kind}`);
}

/**
 * The product of the sizes.
 * @throws ShapeError for what is no shape: a list of whole numbers that are not negative
 */
export function countOf(shape: readonly number[]): number {
  if (!Array.isArray(shape)) throw new ShapeError("tensor: the shape must be an array of whole numbers");
  if (shape.length > MOST_DIMENSIONS) {
    throw new ShapeError(`tensor: a shape of ${shape.length} dimensions: there can be ${MOST_DIMENSIONS}`);
  }
  // An element that is missing is not skipped, as `every` would.
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new ShapeError(`tensor: the shape has a size of ${String(size)}: whole numbers are needed, none negative`);
    }
  }
  return shape.reduce((product, size) => product * size, 1);
}
