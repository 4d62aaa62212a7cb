import { native } from "./native.js";
import type { Tensor } from "./tensor.js";

// Who frees a tensor: the innermost `tidy` in which it was made, or its owner (`dispose`, `using`), or, as a net for what
// was made outside of every scope and forgotten, the garbage collector.
//
// All scopes share one list. A scope is the part of it above the length that the list had when the scope began; a tensor
// knows its place in it (`slot`, -1 outside of every scope), so that to take it out costs nothing: its place stays empty.
const scoped: (Tensor | undefined)[] = [];
let depth = 0;
let innermost = 0; // where the innermost scope begins
let handles = new Int32Array(1024); // of the tensors that a scope frees at its end

const forgotten = new FinalizationRegistry<number>((handle) => native.release(handle));

/** A new tensor enters the innermost scope. Called by the constructor of Tensor only. */
export function register(tensor: Tensor): void {
  if (depth > 0) tensor.slot = scoped.push(tensor) - 1;
  else forgotten.register(tensor, tensor.handle, tensor);
}

/** A tensor was freed by its owner: no scope frees it again. */
export function unregister(tensor: Tensor): void {
  if (tensor.slot < 0) forgotten.unregister(tensor);
  else leave(tensor);
}

/** Takes a tensor out of every scope: from now on its owner frees it. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  if (tensor.slot >= 0) {
    leave(tensor);
    forgotten.register(tensor, tensor.handle, tensor);
  }
  return tensor;
}

function leave(tensor: Tensor): void {
  const { slot } = tensor;
  tensor.slot = -1;
  // A loop that makes and disposes must not lengthen the list; below `innermost` another scope's part begins.
  if (slot === scoped.length - 1 && slot >= innermost) scoped.pop();
  else scoped[slot] = undefined;
}

/**
 * Runs `body` and frees every tensor made inside, save those in what it returns (a tensor, or arrays, maps and plain
 * objects of them), which move to the enclosing scope. Frees all when `body` throws. What backward still needs is held
 * by libtorch and survives.
 * @throws TypeError when `body` returns a promise: a scope is synchronous; own what crosses an `await` with `using`
 */
export function tidy<T>(body: () => T): T {
  const begin = scoped.length;
  const enclosing = innermost;
  innermost = begin;
  depth++;
  let returned: readonly Tensor[] = [];
  try {
    const result = synchronous("tidy", body());
    returned = takeOut(result, begin);
    return result;
  } finally {
    free(begin);
    depth--;
    innermost = enclosing;
    for (const tensor of returned) register(tensor);
  }
}

function synchronous<T>(scope: string, result: T): T {
  if (result instanceof Promise) {
    throw new TypeError(
      `${scope}: the body returned a promise. A scope is synchronous; own what crosses an await with \`using\`.`,
    );
  }
  return result;
}

/** Takes the tensors in `result` that belong to the scope at `begin` out of it. */
function takeOut(result: unknown, begin: number): Tensor[] {
  const found: Tensor[] = [];
  visit(result, (tensor) => {
    if (tensor.slot < begin) return; // another scope's, or found before
    scoped[tensor.slot] = undefined;
    tensor.slot = -1;
    found.push(tensor);
  });
  return found;
}

/** Frees what is left of the scope at `begin`, in one call. */
function free(begin: number): void {
  if (scoped.length - begin > handles.length) handles = new Int32Array(2 * (scoped.length - begin));
  let count = 0;
  for (let i = begin; i < scoped.length; i++) {
    const tensor = scoped[i];
    if (tensor) handles[count++] = tensor.surrender();
  }
  scoped.length = begin;
  if (count > 0) native.releaseMany(handles, count);
}

function visit(value: unknown, found: (tensor: Tensor) => void): void {
  if (value === null || typeof value !== "object") return;
  if (isTensor(value)) found(value);
  else if (Array.isArray(value)) for (const element of value) visit(element, found);
  else if (value instanceof Map) for (const element of value.values()) visit(element, found);
  else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const element of Object.values(value)) visit(element, found);
  }
}

function isTensor(value: object): value is Tensor {
  return "surrender" in value;
}

/**
 * Whether operators on tensors that want a gradient are recorded: not inside of `noGrad`.
 * @group Gradients
 */
export function isRecording(): boolean {
  return native.gradEnabled();
}

/**
 * Runs `body` without recording gradients.
 * @throws TypeError when `body` returns a promise: what it did after its first `await` would be recorded
 * @group Gradients
 */
export function noGrad<T>(body: () => T): T {
  const before = native.setGradEnabled(false);
  try {
    return synchronous("noGrad", body());
  } finally {
    native.setGradEnabled(before);
  }
}
