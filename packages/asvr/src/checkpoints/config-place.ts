import { readFileSync } from "node:fs";
import type { z } from "zod";
import { ConfigError } from "../errors.js";

/** Where a configuration was read, for messages: a file, and the field of it that holds the configuration. */
export interface ConfigPlace {
  readonly file: string;
  /** Such as `text_config`; none: the whole file. */
  readonly field?: string;
}

/** `FILE: field.key`, to begin a message with. */
export function fieldAt({ file, field }: ConfigPlace, key: string): string {
  return `${file}: ${[field, key].filter(Boolean).join(".")}`;
}

/** @throws ConfigError that names the file and every field that doesn't fit the schema */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  config: unknown,
  place: ConfigPlace,
): z.infer<Schema> {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message }) => {
    const value = path.reduce((inner: unknown, key) => (inner as Record<PropertyKey, unknown>)?.[key], config);
    return `${fieldAt(place, path.join("."))} is ${JSON.stringify(value) ?? "missing"}: ${message}`;
  });
  throw new ConfigError(faults.join("\n"));
}

/** Reads a file that is one JSON object. @throws ConfigError */
export function readConfig(file: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new ConfigError(`${file}: can't be read: ${(cause as Error).message}`, { cause });
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new ConfigError(`${file}: is no JSON object`);
}
