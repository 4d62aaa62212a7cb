import { WHOLE_TOKENIZER } from "../checkpoints/gguf/tokenizer.js";
import { field, type GgufField } from "../checkpoints/gguf/write.js";
import { ConfigError } from "../errors.js";
import { gpt4Pattern } from "../language/known-patterns.js";
import type { TextTokenizer } from "../language/tokenizer.js";

/** What is read here of a tokenizer.json. */
export interface WordsJson {
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly normalizer: Step | null;
  readonly pre_tokenizer: Step | null;
  readonly model: {
    readonly type: string;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges?: readonly (string | readonly [string, string])[];
    readonly unk_token?: string | null;
    readonly byte_fallback?: boolean;
    readonly ignore_merges?: boolean;
  };
}

interface Step {
  readonly type: string;
  readonly individual_digits?: boolean;
  readonly use_regex?: boolean;
  readonly pattern?: { readonly Regex?: string };
  readonly normalizers?: readonly Step[];
  readonly pretokenizers?: readonly Step[];
}

/** llama.cpp's kinds of tokens. */
const KIND = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Patterns of byte-level vocabularies that llama.cpp knows by name. */
const patterns: Readonly<Record<string, string>> = {
  [gpt4Pattern("\\p{N}")]: "qwen2",
  [gpt4Pattern("\\p{N}{1,3}")]: "llama-bpe",
};

/**
 * A text tokenizer as the metadata that llama.cpp makes its own of:
 * - byte-level BPE (GPT-2, Qwen2, Llama 3, SmolLM): `gpt2`, with the name of its pattern
 * - sentencepiece's BPE as in Llama 2 and Vicuna: `llama`; a token's score is the rank of the merge that makes it
 * - the micro world's vocabulary of words: `rwkv`, whose longest token goes first. It gives the same ids for texts of
 *   known words that begin with a space and have one after each newline, which llama.cpp doesn't put there: the file's
 *   chat template does (`withSpaces`). A word that only begins as a known one does is split after it. The whole
 *   tokenizer without the step that puts spaces stands in the file, too, under the format's key for it.
 * @throws ConfigError for other kinds
 */
export function tokenizerFields(json: WordsJson, tokenizer: TextTokenizer, vocabSize: number): Map<string, GgufField> {
  const { model } = json;
  if (model.type !== "BPE") {
    throw new ConfigError(`the text tokenizer is a ${model.type}; what can be exported to GGUF is BPE`);
  }
  const steps = [json.normalizer, json.pre_tokenizer].flatMap(flatten);
  const isByteLevel = steps.some(({ type }) => type === "ByteLevel");
  const isWords = isWordLevel(model);
  const table = isByteLevel ? byteLevel(json, steps) : isWords ? wordLevel(json) : sentencepiece(json, steps);
  const { bosId, eosId, padId } = tokenizer;
  const ids = { bos: bosId, eos: eosId, padding: padId, unknown: json.model.vocab[json.model.unk_token ?? ""] };
  const names = tokensOf(json, vocabSize);
  const text = names.map((name, id) => (name === undefined ? `[PAD${id}]` : table.text(name)));
  return new Map([
    ["tokenizer.ggml.model", field.string(table.model)],
    ["tokenizer.ggml.pre", field.string(table.pattern)],
    ["tokenizer.ggml.tokens", field.array("string", text)],
    ["tokenizer.ggml.token_type", field.array("int32", kindsOf(json, names))],
    ...(table.scores ? [["tokenizer.ggml.scores", field.array("float32", text.map(table.scores))] as const] : []),
    ...(table.merges ? [["tokenizer.ggml.merges", field.array("string", table.merges)] as const] : []),
    ...Object.entries(ids).flatMap(([name, id]) =>
      id === undefined ? [] : [[`tokenizer.ggml.${name}_token_id`, field.uint32(id)] as const],
    ),
    ...(isWords ? [[WHOLE_TOKENIZER, field.string(JSON.stringify({ ...json, normalizer: null }))] as const] : []),
    ["tokenizer.ggml.add_bos_token", field.bool(tokenizer.startIds.includes(bosId ?? -1))],
    ["tokenizer.ggml.add_eos_token", field.bool(false)],
    ["tokenizer.ggml.add_space_prefix", field.bool(table.model === "llama")],
  ]);
}

/** Whether this is the micro world's kind of vocabulary: words, each with its space, and bytes. */
export function isWordLevel({ ignore_merges, byte_fallback, merges }: WordsJson["model"]): boolean {
  return ignore_merges === true && byte_fallback === true && (merges ?? []).length === 0;
}

/** A chat template that puts the spaces that words begin with: the tokenizer of a GGUF file puts none. */
export function withSpaces(template: string, added: WordsJson["added_tokens"]): string {
  const specials = added.map(({ content }) => JSON.stringify(content));
  const spaced = specials.map((token) => ` | replace(${token}, ${token} ~ " ")`).join("");
  const starts = specials.map((token) => `prompt.startswith(${token})`).join(" or ");
  return (
    `{% set prompt %}${template}{% endset %}{% if not (${starts}) %}{{ " " }}{% endif %}` +
    `{{ prompt | replace("\\n", "\\n ")${spaced} }}`
  );
}

/** How llama.cpp reads a vocabulary. */
interface Table {
  readonly model: "gpt2" | "llama" | "rwkv";
  readonly pattern: string;
  /** A token as it is spelt there. */
  readonly text: (name: string) => string;
  readonly scores?: (text: string) => number;
  readonly merges?: readonly string[];
}

function byteLevel({ model }: WordsJson, steps: readonly Step[]): Table {
  const split = steps.find(({ type }) => type === "Split")?.pattern?.Regex;
  const hasDigits = steps.some(({ type, individual_digits: apart }) => type === "Digits" && apart === true);
  const usesOwn = steps.some(({ type, use_regex: used }) => type === "ByteLevel" && used !== false);
  const pattern = split === undefined ? (usesOwn ? (hasDigits ? "smollm" : "gpt-2") : undefined) : patterns[split];
  if (pattern === undefined) {
    throw new ConfigError(
      `the text tokenizer splits texts by ${JSON.stringify(split)}, a pattern that has no name in llama.cpp here`,
    );
  }
  return {
    model: "gpt2",
    pattern,
    text: (name) => name,
    merges: (model.merges ?? []).map((pair) => joined(pair, " ")),
  };
}

function sentencepiece({ model }: WordsJson, steps: readonly Step[]): Table {
  const hasMark = steps.some((step) => step.type === "Metaspace" || JSON.stringify(step).includes("▁"));
  if (!hasMark || model.byte_fallback !== true) {
    throw new ConfigError(
      "the text tokenizer is neither byte-level, nor of sentencepiece with bytes to fall back to, nor of words: llama.cpp has no such one",
    );
  }
  const ranks = new Map<string, number>();
  for (const [rank, pair] of (model.merges ?? []).entries()) {
    const made = joined(pair, "");
    if (!ranks.has(made)) ranks.set(made, rank);
  }
  // What no merge makes scores below all that one does, as sentencepiece's single signs do.
  const least = ranks.size;
  return { model: "llama", pattern: "default", text: (name) => name, scores: (name) => -(ranks.get(name) ?? least) };
}

function wordLevel({ added_tokens: added }: WordsJson): Table {
  const special = new Set(added.map(({ content }) => content));
  return {
    model: "rwkv",
    pattern: "default",
    text(name) {
      const [, byte] = /^<0x([0-9A-F]{2})>$/.exec(name) ?? [];
      if (byte) return `\\x${byte.toLowerCase()}`;
      return special.has(name) ? name : name.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
    },
  };
}

function joined(pair: string | readonly [string, string], by: string): string {
  return typeof pair === "string" ? pair.replace(" ", by) : pair.join(by);
}

/** Every token by id; none where the vocabulary has a gap, or is shorter than the embedding. */
function tokensOf({ model, added_tokens: added }: WordsJson, vocabSize: number): (string | undefined)[] {
  const names = Array<string | undefined>(vocabSize).fill(undefined);
  for (const [name, id] of Object.entries(model.vocab)) names[id] = name;
  for (const { id, content } of added) names[id] = content;
  if (names.length > vocabSize) {
    throw new ConfigError(`the text tokenizer has ${names.length} tokens, but the model ${vocabSize} embeddings`);
  }
  return names;
}

function kindsOf({ model, added_tokens: added }: WordsJson, names: readonly (string | undefined)[]): number[] {
  const own = new Map(added.map(({ id, special }) => [id, special ? KIND.control : KIND.userDefined]));
  return names.map((name, id) => {
    if (name === undefined) return KIND.unused;
    if (name === model.unk_token) return KIND.unknown;
    if (model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(name)) return KIND.byte;
    return own.get(id) ?? KIND.normal;
  });
}

/** A step and, for a sequence, the steps in it. */
function flatten(step: Step | null): Step[] {
  if (step === null) return [];
  return [step, ...(step.normalizers ?? []), ...(step.pretokenizers ?? [])];
}
