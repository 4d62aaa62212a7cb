import { InvalidArgumentError } from "commander";
import { ConfigError } from "../errors.js";
import { print, tell } from "./printable.js";
import type { ProgressDisplay } from "./progress.js";

/** Readers of option values; what they throw is a wrong call (exit status 2). */

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError("it must be a whole number, 0 or more.");
  return value;
}

export function positive(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError("it must be 1 or more.");
  return value;
}

/** An endpoint's address. @throws ConfigError for one without http:// or https:// */
export function endpointUrl(name: string, value: string): string {
  if (/^https?:\/\//i.test(value) && URL.canParse(value)) return value;
  const advice = /^[\w.-]+(:\d+)?(\/|$)/.test(value) ? `: is http://${value} meant?` : "";
  throw new ConfigError(`${name} ${JSON.stringify(value)} is no URL that begins with http:// or https://${advice}`);
}

/** Threads of one operator: what @asvr/torch's `setThreads` takes. */
export function threadCount(text: string): number {
  const value = positive(text);
  if (value > 1024)
    throw new InvalidArgumentError("it must be 1024 or less; more than the cores of the machine slow it down.");
  return value;
}

export function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  if ((allowed as readonly string[]).includes(value)) return value as T;
  throw new ConfigError(`${name} is ${JSON.stringify(value)}; it must be ${allowed.join(" or ")}`);
}

/** Collects an option that may be given several times. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** A signal that fires at the first Ctrl-C, SIGTERM or closing of the terminal; the second one ends the process at once. */
export function interruptSignal(display: Pick<ProgressDisplay, "note" | "close">): AbortSignal {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) {
      display.close(); // gives the terminal its cursor back
      process.exit(130);
    }
    display.note("stopping: saving first (once more to stop at once)");
    stop.abort();
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, onSignal);
  return stop.signal;
}

/** Says what was written; beside a JSON object on standard error. */
export function tellWritten(folder: string, files: readonly string[], json: boolean): void {
  (json ? tell : print)(`wrote ${folder}: ${files.join(", ")}\n`);
}

/** The one JSON object of `--json`, on standard output. */
export function printJson(value: unknown): void {
  // JSON leaves some control characters as they are, which terminals obey.
  const text = JSON.stringify(value, null, 2).replace(/[\u007f-\u009f]/g, (character) => {
    return `\\u00${character.charCodeAt(0).toString(16)}`;
  });
  process.stdout.write(`${text}\n`);
}
