import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { readWholeFile } from "@asvr/torch/files";
import { ConfigError } from "../errors.js";
import { JsonEngine } from "./json-engine.js";
import { SentencePieceEngine } from "./sentencepiece/engine.js";
import { readSentencePieceModel } from "./sentencepiece/model-proto.js";
import { SentencePieceProcessor } from "./sentencepiece/processor.js";
import { type AddedToken, nameOf, type TokenizerConfig, type TokenizerEngine } from "./tokenizer-engine.js";
import { MOST_IDS, requireTokenizerJson } from "./tokenizer-json.js";

/** What is read of `tokenizer_config.json` beside a `tokenizer.model`. */
export interface SentencePieceConfig extends TokenizerConfig {
  /** transformers' default is true. */
  legacy?: boolean | null;
  add_prefix_space?: boolean | null;
  add_bos_token?: boolean;
  add_eos_token?: boolean;
  tokenizer_class?: string;
  added_tokens_decoder?: Readonly<Record<string, Omit<AddedToken, "id">>>;
}

export interface TokenizerFiles {
  readonly engine: TokenizerEngine;
  readonly config: TokenizerConfig;
}

/** Reads `tokenizer.json` and the settings beside it. @throws ConfigError */
export function readTokenizerJson(path: string): TokenizerFiles {
  const folder = dirname(path);
  requireFile(path, "It is the tokenizer.json of the model's folder.");
  const config = readConfig(folder);
  if (config === undefined) {
    requireFile(join(folder, "tokenizer_config.json"), "It names the bos, eos and padding tokens.");
  }
  return naming(path, () => {
    const json = requireTokenizerJson(readJson(path));
    return { engine: new JsonEngine(json, config ?? {}), config: config ?? {} };
  });
}

/** Reads `tokenizer.model` and the settings beside it. @throws ConfigError */
export function readTokenizerModel(path: string): TokenizerFiles {
  requireFile(path, "It is the SentencePiece model of the model's folder.");
  const folder = dirname(path);
  const config = readConfig(folder) ?? {};
  const added = join(folder, "added_tokens.json");
  return naming(path, () =>
    sentencePieceFiles(
      readWholeFile(path),
      config,
      existsSync(added) ? (readJson(added) as Record<string, number>) : {},
    ),
  );
}

/** The tokenizer of a folder, whichever file it has. @throws ConfigError */
export function readTokenizerFolder(folder: string): TokenizerFiles {
  const json = join(folder, "tokenizer.json");
  const model = join(folder, "tokenizer.model");
  if (existsSync(json)) return readTokenizerJson(json);
  if (existsSync(model)) return readTokenizerModel(model);
  const old = existsSync(join(folder, "vocab.json"))
    ? " Its vocab.json is of an older kind: save the tokenizer anew with transformers, which writes tokenizer.json."
    : "";
  throw new ConfigError(`tokenizer: ${folder} has neither tokenizer.json nor tokenizer.model.${old}`);
}

/** The tokenizers whose ids are SentencePiece's own, and how they place spaces. Others shift them. */
const families: ReadonlyMap<string, "llama" | "gemma"> = new Map([
  ["LlamaTokenizer", "llama"],
  ["LlamaTokenizerFast", "llama"],
  ["PreTrainedTokenizerFast", "llama"],
  ["GemmaTokenizer", "gemma"],
  ["GemmaTokenizerFast", "gemma"],
]);

/** A SentencePiece model with the settings and added tokens that transformers keeps beside it. */
export function sentencePieceFiles(
  file: Uint8Array,
  config: SentencePieceConfig,
  addedTokens: Readonly<Record<string, number>> = {},
): TokenizerFiles {
  const named = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", ...withoutUndefined(config) };
  const family = families.get(config.tokenizer_class ?? "LlamaTokenizer");
  if (family === undefined) {
    throw new ConfigError(
      `tokenizer_class is ${config.tokenizer_class}, whose ids may differ from its SentencePiece model's. Known are ${[...families.keys()].join(", ")}; for others save a tokenizer.json with transformers.`,
    );
  }
  const processor = new SentencePieceProcessor(readSentencePieceModel(file));
  const tokens = collectAddedTokens(processor.ids, named, addedTokens);
  const idOf = (name: string | undefined) => tokens.find(({ content }) => content === name)?.id;
  const namedIds = specialNames(named).map((name) => idOf(name)!);
  const ids = (isWanted: boolean, name: string | undefined) => (isWanted ? [idOf(name)!].filter(Number.isInteger) : []);
  const engine = new SentencePieceEngine(processor, {
    addedTokens: tokens,
    legacy: family === "gemma" || (config.legacy ?? true),
    addPrefixSpace: config.add_prefix_space ?? true,
    unknownToken: nameOf(named.unk_token) ?? "<unk>",
    namedIds,
    startIds: ids(config.add_bos_token ?? true, nameOf(named.bos_token)),
    endIds: ids(config.add_eos_token ?? false, nameOf(named.eos_token)),
  });
  return { engine, config: named };
}

/** The special tokens that have a name, or are named as special. */
function specialNames(config: SentencePieceConfig): string[] {
  const { bos_token, eos_token, unk_token, pad_token, additional_special_tokens, extra_special_tokens } = config;
  const more = [...(additional_special_tokens ?? []), ...Object.values(extra_special_tokens ?? {})];
  const names = [bos_token, eos_token, unk_token, pad_token, ...more].map(nameOf);
  return names.filter((name): name is string => typeof name === "string" && name !== "");
}

/** Added tokens with their ids: those of a special token that no file numbers follow the vocabulary. */
function collectAddedTokens(
  ids: ReadonlyMap<string, number>,
  config: SentencePieceConfig,
  numbered: Readonly<Record<string, number>>,
): AddedToken[] {
  const tokens = new Map<string, AddedToken>();
  for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {})) {
    tokens.set(token.content, { ...token, special: token.special ?? false, id: Number(id) });
  }
  for (const [content, id] of Object.entries(numbered)) {
    if (!tokens.has(content)) tokens.set(content, { content, id, special: false });
  }
  for (const content of specialNames(config)) {
    const known = tokens.get(content);
    const next = Math.max(ids.size - 1, ...[...tokens.values()].map((token) => token.id)) + 1;
    tokens.set(content, { ...known, content, id: known?.id ?? ids.get(content) ?? next, special: true });
  }
  for (const { content, id } of tokens.values()) {
    if (Number.isInteger(id) && id >= 0 && id < MOST_IDS && typeof content === "string" && content !== "") continue;
    throw new ConfigError(`the added token ${JSON.stringify(content)} has the id ${id}, not one below ${MOST_IDS}`);
  }
  return [...tokens.values()];
}

/** `tokenizer_config.json` over `special_tokens_map.json`; nothing where both are missing. */
function readConfig(folder: string): SentencePieceConfig | undefined {
  const files = ["special_tokens_map.json", "tokenizer_config.json"].map((name) => join(folder, name));
  const present = files.filter((file) => existsSync(file));
  if (present.length === 0) return undefined;
  return Object.assign({}, ...present.map((file) => withoutUndefined(naming(file, () => readJson(file) as object))));
}

/** Without what is null: a file that names no token does not unname one that another file names. */
function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null && entry !== undefined)) as T;
}

function requireFile(path: string, what: string): void {
  if (!existsSync(path)) throw new ConfigError(`tokenizer: there is no ${path}. ${what}`);
}

/** Errors say which file they come from. */
function naming<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new ConfigError(`tokenizer: ${path} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readWholeFile(path).toString("utf8"));
}
