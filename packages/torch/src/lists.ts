import { native } from "./native.js";
import type { Tensor } from "./tensor.js";

// The lists of a call (shapes, tensors to join) cross to the addon through memory that both see, one after the other,
// and only their lengths as arguments: to read a JavaScript array element by element would cost more than the call.
let shared = new Float64Array(256);
let used = 0;
native.shareLists(shared);

type Elements = readonly (number | boolean)[];

/**
 * Writes the first list of a call.
 * @param fixedSize of `int[2]`: a single number stands for as many
 * @returns what is given to the addon: the length; null or undefined as they are
 */
export function firstList(list: number | Elements | null | undefined, fixedSize = 0): number | null | undefined {
  used = 0;
  return nextList(list, fixedSize);
}

/** Writes a further list of the same call. */
export function nextList(list: number | Elements | null | undefined, fixedSize = 0): number | null | undefined {
  if (list === null || list === undefined) return list;
  if (typeof list === "number") {
    reserve(fixedSize);
    shared.fill(list, used, used + fixedSize);
    used += fixedSize;
    return fixedSize;
  }
  reserve(list.length);
  for (let i = 0; i < list.length; i++) shared[used++] = Number(list[i]);
  return list.length;
}

/** Writes the first list of a call, of tensors: their handles, -1 for none. */
export function firstTensors(list: readonly (Tensor | null)[] | null | undefined): number | null | undefined {
  used = 0;
  return nextTensors(list);
}

/** Writes a further list of the same call, of tensors. */
export function nextTensors(list: readonly (Tensor | null)[] | null | undefined): number | null | undefined {
  if (list === null || list === undefined) return list;
  reserve(list.length);
  for (let i = 0; i < list.length; i++) shared[used++] = list[i]?.handle ?? -1;
  return list.length;
}

/** What lies there: for the message of a call that failed. */
export function sharedList(start: number, length: number): number[] {
  return [...shared.subarray(start, start + length)];
}

function reserve(count: number): void {
  if (used + count <= shared.length) return;
  const larger = new Float64Array(2 * (used + count));
  larger.set(shared);
  shared = larger;
  native.shareLists(shared);
}
