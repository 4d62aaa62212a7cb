import { native } from "./native.js";
import type { Tensor } from "./tensor.js";

/**
 * Who frees a tensor: the innermost `tidy` in which it was made, or its owner (`dispose`, `using`), or, as a net for
 * what was made outside of every scope and forgotten, the garbage collector.
 */
const scopes: Set<Tensor>[] = [];
const forgotten = new FinalizationRegistry<number>((handle) => native.release([handle]));

/** A new tensor enters the innermost scope. Called by the constructor of Tensor only. */
export function register(tensor: Tensor): void {
  const scope = scopes[scopes.length - 1];
  if (scope) scope.add(tensor);
  else forgotten.register(tensor, tensor.handle, tensor);
}

/** A tensor was freed by its owner: no scope frees it again. */
export function unregister(tensor: Tensor): void {
  forgotten.unregister(tensor);
  for (let i = scopes.length - 1; i >= 0; i--) if (scopes[i]!.delete(tensor)) return;
}

/** Takes a tensor out of every scope: from now on its owner frees it. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  for (let i = scopes.length - 1; i >= 0; i--) {
    if (scopes[i]!.delete(tensor)) {
      forgotten.register(tensor, tensor.handle, tensor);
      break;
    }
  }
  return tensor;
}

/**
 * Runs `body` and frees every tensor made inside, save those in what it returns (a tensor, or arrays, maps and plain
 * objects of them), which move to the enclosing scope. Frees all when `body` throws. What backward still needs is held
 * by libtorch and survives.
 * @throws TypeError when `body` returns a promise: a scope is synchronous; own what crosses an `await` with `using`
 */
export function tidy<T>(body: () => T): T {
  const scope = new Set<Tensor>();
  scopes.push(scope);
  try {
    const result = body();
    if (result instanceof Promise) {
      throw new TypeError(
        "tidy: the body returned a promise. A scope is synchronous; own what crosses an await with `using`.",
      );
    }
    visit(result, (tensor) => scope.delete(tensor) && kept.push(tensor));
    return result;
  } finally {
    scopes.pop();
    const handles: number[] = [];
    for (const tensor of scope) handles.push(tensor.surrender());
    if (handles.length > 0) native.release(handles);
    for (const tensor of kept.splice(0)) register(tensor);
  }
}

// Between the walk over a result and its registration nothing else runs, so one list serves all scopes.
const kept: Tensor[] = [];

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

/** Runs `body` without recording gradients. */
export function noGrad<T>(body: () => T): T {
  const before = native.setGradEnabled(false);
  try {
    return body();
  } finally {
    native.setGradEnabled(before);
  }
}
