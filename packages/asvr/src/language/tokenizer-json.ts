import { ConfigError } from "../errors.js";
import { GPT2_PATTERN, isCompilable } from "./known-patterns.js";
import type { AddedToken } from "./tokenizer-engine.js";

/** What is read of `tokenizer.json`; the rest goes to the library as it is. */
export interface TokenizerJson {
  normalizer: TokenizerStep | null;
  pre_tokenizer: TokenizerStep | null;
  post_processor: TokenizerStep | null;
  decoder: TokenizerStep | null;
  added_tokens: AddedToken[];
}

export interface TokenizerStep {
  type: string;
  prepend_scheme?: string;
  add_prefix_space?: boolean;
  use_regex?: boolean;
  individual_digits?: boolean;
  replacement?: string;
  split?: boolean;
  pattern?: { Regex: string } | { String: string };
  behavior?: string;
  invert?: boolean;
  content?: string;
  normalizers?: TokenizerStep[];
  pretokenizers?: TokenizerStep[];
  decoders?: TokenizerStep[];
  prepend?: string;
}

/** Ids index tables: this is sixteen times the largest vocabulary that is in use. */
export const MOST_IDS = 2 ** 22;
/** How deep steps lie in each other, with room. */
const DEEPEST = 32;
/** Longer than any pattern that is published. */
const LONGEST_PATTERN = 10_000;
/** How many characters the steps may make of one, all of them together. Published ones make two. */
const MOST_GROWTH = 1000;

/**
 * A `tokenizer.json`, checked as far as the library would not: it would run for minutes over an id in the billions, or
 * give ids that do not exist.
 * @throws ConfigError that names the place
 */
export function requireTokenizerJson(value: unknown): TokenizerJson {
  const json = requireObject(value, "tokenizer.json");
  const added = json.added_tokens ?? [];
  if (!Array.isArray(added)) fail("added_tokens", "a list", added);
  for (const [index, token] of added.entries()) {
    const { id, content } = requireObject(token, `added_tokens[${index}]`);
    if (typeof content !== "string" || content === "") fail(`added_tokens[${index}].content`, "a text", content);
    requireId(`added_tokens[${index}].id`, id);
  }
  const steps = ["normalizer", "pre_tokenizer", "post_processor", "decoder"] as const;
  for (const name of steps) if (json[name] !== null && json[name] !== undefined) requireStep(name, json[name], 0);
  for (const name of ["normalizer", "pre_tokenizer", "decoder"] as const) {
    const growth = growthOf(json[name] as TokenizerStep | null | undefined);
    if (growth > MOST_GROWTH) fail(name, `steps that make at most ${MOST_GROWTH} characters of one`, growth);
  }
  const model = requireObject(json.model, "model");
  if (Array.isArray(model.vocab)) requireScoredVocabulary(model);
  else requireVocabulary(model);
  const missing = Object.fromEntries(steps.map((name) => [name, json[name] ?? null]));
  return { ...json, ...missing, added_tokens: added } as unknown as TokenizerJson;
}

function requireVocabulary(model: Record<string, unknown>): void {
  const vocabulary = requireObject(model.vocab, "model.vocab");
  const tokens = new Set<string>();
  for (const [token, id] of Object.entries(vocabulary)) {
    requireId(`model.vocab[${JSON.stringify(token)}]`, id);
    tokens.add(token);
  }
  if (model.type !== "BPE" && model.merges === undefined) return;
  if (!Array.isArray(model.merges)) fail("model.merges", "a list", model.merges);
  const prefix = typeof model.continuing_subword_prefix === "string" ? model.continuing_subword_prefix.length : 0;
  for (const [index, merge] of model.merges.entries()) {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((part) => typeof part === "string" && part !== "")) {
      fail(`model.merges[${index}]`, "two tokens", merge);
    }
    const [left, right] = pair as [string, string];
    for (const token of [left, right, left + right.slice(prefix)]) {
      if (!tokens.has(token))
        fail(`model.merges[${index}]`, `made of tokens, but ${JSON.stringify(token)} is none`, merge);
    }
  }
}

function requireScoredVocabulary(model: Record<string, unknown>): void {
  const vocabulary = model.vocab as unknown[];
  if (vocabulary.length > MOST_IDS) fail("model.vocab", `at most ${MOST_IDS} long`, vocabulary.length);
  for (const [id, entry] of vocabulary.entries()) {
    if (Array.isArray(entry) && typeof entry[0] === "string" && Number.isFinite(entry[1])) continue;
    fail(`model.vocab[${id}]`, "a token and its score", entry);
  }
  const unknown = model.unk_id ?? undefined;
  if (!Number.isInteger(unknown) || !((unknown as number) >= 0 && (unknown as number) < vocabulary.length)) {
    fail("model.unk_id", `an id below ${vocabulary.length}`, unknown);
  }
}

function requireStep(place: string, step: unknown, depth: number): void {
  const { type, ...rest } = requireObject(step, place);
  if (typeof type !== "string") fail(`${place}.type`, "a text", type);
  if (depth > DEEPEST) fail(place, `at most ${DEEPEST} deep`, type);
  if (type === "Split" || type === "Replace" || rest.pattern !== undefined) {
    const pattern = requireObject(rest.pattern, `${place}.pattern`);
    const source = pattern.Regex ?? pattern.String;
    if (typeof source !== "string") fail(`${place}.pattern`, "a Regex or a String", pattern);
    if (source.length > LONGEST_PATTERN) fail(`${place}.pattern`, `at most ${LONGEST_PATTERN} long`, source.length);
  }
  const regex = (rest.pattern as { Regex?: unknown } | undefined)?.Regex;
  if (typeof regex === "string" && !isCompilable(regex)) {
    fail(`${place}.pattern`, "of at most 24 repetitions, none of a group by a number", regex);
  }
  for (const name of ["content", "prepend", "replacement"]) {
    const text = rest[name];
    if (text !== undefined && text !== null && typeof text !== "string") fail(`${place}.${name}`, "a text", text);
  }
  if (type === "Metaspace" && rest.replacement !== undefined && [...String(rest.replacement)].length !== 1) {
    fail(`${place}.replacement`, "one character", rest.replacement);
  }
  for (const name of ["normalizers", "pretokenizers", "processors", "decoders"]) {
    const inner = rest[name];
    if (inner === undefined) continue;
    if (!Array.isArray(inner)) fail(`${place}.${name}`, "a list", inner);
    for (const [index, one] of inner.entries()) requireStep(`${place}.${name}[${index}]`, one, depth + 1);
  }
}

/** The length, at most, of what a step makes of one character. */
function growthOf(step: TokenizerStep | null | undefined): number {
  if (!step) return 1;
  const inner = [step.normalizers, step.pretokenizers, step.decoders].flatMap((steps) => steps ?? []);
  const length = inner.reduce((product, one) => product * growthOf(one), 1);
  if (step.type === "Prepend") return 1 + (step.prepend?.length ?? 0);
  if (step.type !== "Replace") return length;
  const { pattern, content = "" } = step;
  const found = pattern && "String" in pattern ? pattern.String.length : 0; // a pattern may find nothing, everywhere
  return Math.max(1, found === 0 ? 1 + content.length : content.length / found);
}

function requireId(place: string, id: unknown): void {
  if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= MOST_IDS)
    fail(place, `an id below ${MOST_IDS}`, id);
}

function requireObject(value: unknown, place: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(place, "an object", value);
  return value as Record<string, unknown>;
}

function fail(place: string, expected: string, found: unknown): never {
  const shown = JSON.stringify(found)?.slice(0, 80) ?? "missing";
  throw new ConfigError(`tokenizer: ${place} must be ${expected}; it is ${shown}.`);
}

/**
 * The tokenizer in words that the library takes exactly. It knows the digits of ASCII only, takes JavaScript's white
 * space where Unicode's is meant (byte-level), never splits at the symbol for a space (Metaspace), and takes `$&` in what
 * a replacement puts in place for what was found.
 */
export function withExactSteps(json: TokenizerJson): TokenizerJson {
  const { normalizer, pre_tokenizer, decoder } = json;
  return {
    ...json,
    normalizer: normalizer && exactStep(normalizer),
    pre_tokenizer: pre_tokenizer && exactStep(pre_tokenizer),
    decoder: decoder && exactStep(decoder),
  };
}

function exactStep(step: TokenizerStep): TokenizerStep {
  for (const name of ["normalizers", "pretokenizers", "decoders"] as const) {
    const inner = step[name];
    if (inner) return { ...step, [name]: inner.map(exactStep) };
  }
  if (step.type === "Replace") return { ...step, content: step.content?.replaceAll("$", "$$$$") };
  if (step.type === "Digits") return splitAt(step.individual_digits ? "\\p{N}" : "\\p{N}+");
  if (step.type === "ByteLevel" && step.use_regex !== false) {
    const space: TokenizerStep = { type: "Replace", pattern: { Regex: "\\A[^ ]" }, content: " $&" };
    const bytes = { ...step, use_regex: false, add_prefix_space: false };
    return sequence([...(step.add_prefix_space ? [space] : []), splitAt(GPT2_PATTERN), bytes]);
  }
  if (step.type === "Metaspace" && step.split !== false) {
    const symbol = (step.replacement ?? "▁").replace(/[\\^$.*+?()[\]{}|/&~-]/u, "\\$&");
    return sequence([step, splitAt(`${symbol}[^${symbol}]*|[^${symbol}]+`)]);
  }
  return step;
}

function splitAt(pattern: string): TokenizerStep {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

function sequence(pretokenizers: TokenizerStep[]): TokenizerStep {
  return { type: "Sequence", pretokenizers };
}
