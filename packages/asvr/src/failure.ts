/**
 * The error that says why something failed. Where a disposal failed after it, or several things failed side by side,
 * the runtime wraps what happened into an error that says nothing itself: this takes it out again.
 */
export function firstFailure(error: unknown): Error {
  if (isSuppressed(error)) {
    const first = firstFailure(error.suppressed);
    const later = firstFailure(error.error);
    return later.message === first.message ? first : withMore(first, ` (Then also: ${later.message})`);
  }
  if (error instanceof AggregateError && error.errors.length > 0) {
    const [first, ...others] = error.errors.map(firstFailure) as [Error, ...Error[]];
    const more = [...new Set(others.map(({ message }) => message))].filter((message) => message !== first.message);
    return withMore(first, more.map((message) => `; ${message}`).join(""));
  }
  return error instanceof Error ? error : new Error(String(error));
}

/** By its form: TypeScript makes one of its own where the runtime has none. */
function isSuppressed(error: unknown): error is Error & { error: unknown; suppressed: unknown } {
  return error instanceof Error && error.name === "SuppressedError" && "suppressed" in error && "error" in error;
}

/** A copy of an error, with its name, stack and fields, whose message says more. */
function withMore(error: Error, more: string): Error {
  if (more === "") return error;
  return Object.create(error, { message: { value: error.message + more } }) as Error;
}
