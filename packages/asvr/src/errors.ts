import type { Fault } from "./fault.js";

/** Data that cannot be used: a bad record, picture or sample. `faults` lists every one that was found. */
export class DataError extends Error {
  override readonly name = "DataError";

  constructor(
    message: string,
    readonly faults: readonly Fault[] = [],
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A setting that cannot be used, or two settings that contradict each other. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** A file that could not be fetched; the message says how to go without. */
export class FetchError extends Error {
  override readonly name = "FetchError";
}

/** A lack of the machine (memory, open files, time) that says nothing of the data: nothing is left out for it. */
export class ResourceError extends Error {
  override readonly name = "ResourceError";
}

/** What a network computed is no number any more: a loss, its gradient, or the logits of an answer. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";
}
