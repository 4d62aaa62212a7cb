import { readWholeFile } from "@asvr/torch/files";
import { z } from "zod";
import { ConfigError } from "../errors.js";

/** A number of things of a configuration: what may be counted with 31 bits. */
export const count = z
  .int()
  .positive()
  .max(2 ** 31 - 1);
/** A number of layers: far more than any model has, and few enough to be listed. */
export const layerCount = z.int().positive().max(10_000);

/** A longer configuration is an attempt to exhaust memory. */
const MOST_BYTES = 1 << 24;

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

/**
 * A configuration as its schema has it. Python writes null for what is not set, so that null counts as absent.
 * @throws ConfigError that names the file and every field that doesn't fit the schema
 */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  config: unknown,
  place: ConfigPlace,
): z.infer<Schema> {
  const parsed = schema.safeParse(withoutNulls(config));
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path, message }) => {
    const value = path.reduce((inner: unknown, key) => (inner as Record<PropertyKey, unknown>)?.[key], config);
    return `${fieldAt(place, path.join("."))} is ${JSON.stringify(value) ?? "missing"}: ${message}`;
  });
  throw new ConfigError(faults.join("\n"));
}

/** A copy without the fields that are null, at any depth. Entries of lists stay. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutNulls(inner)]));
}

/**
 * Reads a JSON object.
 * @throws ConfigError when there is none; a NaN or an Infinity, which Python writes, is named with its field
 */
export function readConfig(file: string): Record<string, unknown> {
  let json: unknown;
  let text = "";
  try {
    text = readWholeFile(file, MOST_BYTES).toString("utf8");
    json = JSON.parse(text);
  } catch (cause) {
    const [, field, value] = /"([^"\\]+)"\s*:\s*[[{]?\s*(-?(?:NaN|Infinity))\b/.exec(text) ?? [];
    if (field) throw new ConfigError(`${file}: ${field} is ${value}: expected a number`, { cause });
    throw new ConfigError(`${file}: can't be read: ${(cause as Error).message}`, { cause });
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw new ConfigError(`${file}: is no JSON object`);
}
