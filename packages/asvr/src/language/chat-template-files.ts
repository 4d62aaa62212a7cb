import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { readWholeFile } from "@asvr/torch/files";
import { ConfigError } from "../errors.js";
import { type BuiltInTemplate, builtInTemplates } from "./built-in-templates.js";

export interface ChatFolderOptions {
  /** Which one of several named templates. */
  name?: string;
  /** What a folder without a template is taken to speak. */
  fallback?: BuiltInTemplate;
}

export interface FoundTemplate {
  readonly source: string;
  readonly tokens: Readonly<Record<string, string>>;
  /** Where it was found. */
  readonly file: string;
}

/** tokenizer_config.json names thousands of added tokens at most. */
const MOST_BYTES = 1 << 25;

/** The JSON files that may hold a template. A processor's is the one that was written for pictures. */
const jsonFiles = ["chat_template.json", "processor_config.json", "tokenizer_config.json"];

/** The chat template of a checkpoint's folder. @throws ConfigError as `ChatTemplate.fromFolder` says */
export function readChatTemplate(folder: string, { name = "default", fallback }: ChatFolderOptions): FoundTemplate {
  const tokens = specialTokens(folder);
  for (const [file, named] of namedTemplates(folder)) {
    const source = named.get(name);
    if (source !== undefined) return { source, tokens, file };
    const names = [...named.keys()].join(", ");
    throw new ConfigError(`chat template: ${file} has none named ${name}. It has: ${names}. Ask for one of these.`);
  }
  if (fallback === undefined) {
    const names = Object.keys(builtInTemplates).join(", ");
    throw new ConfigError(
      `chat template: ${folder} has none (looked for chat_template.jinja, and chat_template in ${jsonFiles.join(", ")}). Say which built-in one its model was trained with: ${names}.`,
    );
  }
  return {
    source: builtInTemplates[fallback],
    tokens: { bos_token: "<s>", eos_token: "</s>", ...tokens },
    file: `the built-in template ${fallback}`,
  };
}

/** The templates by name, with the file they stand in, best file first. */
function* namedTemplates(folder: string): Generator<[file: string, templates: ReadonlyMap<string, string>]> {
  const file = join(folder, "chat_template.jinja");
  if (existsSync(file)) {
    const more = join(folder, "additional_chat_templates");
    const files = existsSync(more) ? readdirSync(more).filter((name) => name.endsWith(".jinja")) : [];
    const named = files.map((name) => [basename(name, ".jinja"), readText(join(more, name))] as const);
    yield [file, new Map([["default", readText(file)], ...named])];
  }
  for (const path of jsonFiles.map((name) => join(folder, name))) {
    const template = readJson(path).chat_template;
    if (template !== undefined && template !== null) yield [path, byName(path, template)];
  }
}

/** The chat template among the files of a checkpoint, found as in its folder; undefined where there is none. */
export function chatTemplateAmong(files: ReadonlyMap<string, string | Uint8Array>): string | undefined {
  const text = (name: string) => (files.has(name) ? Buffer.from(files.get(name)!).toString() : undefined);
  const alone = text("chat_template.jinja");
  if (alone !== undefined) return alone;
  for (const name of jsonFiles) {
    const template = parsed(name, text(name) ?? "{}").chat_template;
    if (template !== undefined && template !== null) return byName(name, template).get("default");
  }
  return undefined;
}

/** A template alone, a list of named ones, or (once, in processors) an object of them. */
function byName(file: string, template: unknown): ReadonlyMap<string, string> {
  if (typeof template === "string") return new Map([["default", template]]);
  const entries = Array.isArray(template)
    ? template.map((entry) => [entry?.name, entry?.template])
    : Object.entries(template as object);
  if (!entries.every((entry) => entry.every((part) => typeof part === "string"))) {
    throw new ConfigError(
      `chat template: chat_template in ${file} is neither a template nor a list of {"name", "template"}.`,
    );
  }
  return new Map(entries as [string, string][]);
}

/** The special tokens that have a name, such as `bos_token`, as text. */
function specialTokens(folder: string): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const name of ["special_tokens_map.json", "tokenizer_config.json"]) {
    for (const [key, value] of Object.entries(readJson(join(folder, name)))) {
      if (!key.endsWith("_token")) continue;
      const content = typeof value === "string" ? value : (value as { content?: unknown } | null)?.content;
      if (typeof content === "string") tokens[key] = content;
    }
  }
  return tokens;
}

/** @throws ConfigError for what is no file of a bounded size */
function readText(path: string): string {
  try {
    return readWholeFile(path, MOST_BYTES).toString("utf8");
  } catch (cause) {
    throw new ConfigError(`chat template: ${path} can't be read: ${(cause as Error).message}`, { cause });
  }
}

/** A JSON object; an empty one where there is no such file. */
function readJson(path: string): Record<string, unknown> {
  return existsSync(path) ? parsed(path, readText(path)) : {};
}

function parsed(path: string, json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new ConfigError(`chat template: ${path} is no JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ConfigError(`chat template: ${path} holds no JSON object.`);
}
