import { TextDecoder } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import { knownPatterns } from "./known-patterns.js";
import type { AddedToken, PrefixRule, TokenizerConfig, TokenizerEngine } from "./tokenizer-engine.js";
import { type TokenizerJson, type TokenizerStep, withExactSteps } from "./tokenizer-json.js";
import { TokenizerWatch } from "./tokenizer-watch.js";

/** What is used of the library, whose own types TypeScript does not find (imports without an ending). */
interface Library {
  encode(text: string, options?: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: readonly number[], options: { skip_special_tokens: boolean }): string;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
  decoder: Decoder | null;
}
interface Decoder {
  decoders?: Decoder[];
  text_decoder?: TextDecoder;
}

/** Hugging Face's `tokenizer.json` at work. */
export class JsonEngine implements TokenizerEngine {
  readonly prefixRule: PrefixRule;
  readonly addedTokens: readonly AddedToken[];
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #library: Library;
  readonly #bare: Library; // the same without a dummy space
  readonly #watch: TokenizerWatch;

  constructor(json: TokenizerJson, config: TokenizerConfig) {
    const settings = { ...config, clean_up_tokenization_spaces: config.clean_up_tokenization_spaces ?? false };
    this.prefixRule = prefixRule(json);
    this.addedTokens = json.added_tokens;
    const patterns = patternsOf([json.normalizer, json.pre_tokenizer, json.post_processor, json.decoder]);
    const unknown = patterns.filter((pattern) => !knownPatterns.has(pattern));
    this.#watch = new TokenizerWatch(unknown.map((pattern) => `the pattern ${JSON.stringify(pattern.slice(0, 80))}`));
    this.#library = new Tokenizer(withExactSteps(json), settings) as Library;
    keepByteOrderMarks(this.#library.decoder);
    this.#bare =
      this.prefixRule === "none"
        ? this.#library
        : (new Tokenizer(withExactSteps(withoutPrefix(json)), settings) as Library);
    const entries = [...this.#library.get_vocab()].filter(([token]) => token !== undefined); // ids may have gaps
    this.vocabulary = new Map(entries);
  }

  tokenOf(id: number): string | undefined {
    return this.#library.id_to_token(id);
  }

  encode(text: string, addSpecialTokens: boolean): number[] {
    return this.#watch.run(text, () => this.#library.encode(text, { add_special_tokens: addSpecialTokens }).ids);
  }

  encodeBare(text: string): number[] {
    return this.#watch.run(text, () => this.#bare.encode(text, { add_special_tokens: false }).ids);
  }

  encodeStart(text: string): number[] {
    const isText = text !== "" && !this.addedTokens.some(({ content }) => text.startsWith(content));
    return this.encodeBare(isText && this.prefixRule === "first" ? ` ${text}` : text);
  }

  decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    return this.#watch.run(ids, () => this.#library.decode(ids, { skip_special_tokens: skipSpecialTokens }));
  }
}

/** The library's decoder of byte tokens would drop U+FEFF from a text. */
function keepByteOrderMarks(decoder: Decoder | null): void {
  decoder?.decoders?.forEach(keepByteOrderMarks);
  if (decoder?.text_decoder) decoder.text_decoder = new TextDecoder("utf-8", { ignoreBOM: true });
}

function prefixRule(json: TokenizerJson): PrefixRule {
  const steps = [...flatten(json.normalizer), ...flatten(json.pre_tokenizer)];
  for (const step of steps) {
    if (step.type === "Prepend") return "every";
    if (step.type === "ByteLevel" && step.add_prefix_space) return "every";
    if (step.type !== "Metaspace" || step.prepend_scheme === "never") continue;
    return step.prepend_scheme === "first" ? "first" : "every";
  }
  return "none";
}

/** The tokenizer's description without a dummy space at the beginning. */
function withoutPrefix(json: TokenizerJson): TokenizerJson {
  const { normalizer, pre_tokenizer } = structuredClone({
    normalizer: json.normalizer,
    pre_tokenizer: json.pre_tokenizer,
  });
  for (const step of flatten(normalizer)) {
    step.normalizers = step.normalizers?.filter(({ type }) => type !== "Prepend");
  }
  for (const step of flatten(pre_tokenizer)) {
    if (step.type === "Metaspace") step.prepend_scheme = "never";
    if (step.type === "ByteLevel") step.add_prefix_space = false;
  }
  return { ...json, normalizer: normalizer?.type === "Prepend" ? null : normalizer, pre_tokenizer };
}

/** Every regular expression of a file, wherever it lies. */
function patternsOf(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const { Regex: own } = value as { Regex?: unknown };
  return [...(typeof own === "string" ? [own] : []), ...Object.values(value).flatMap(patternsOf)];
}

/** A step and, for a sequence, the steps in it. */
function flatten(step: TokenizerStep | null): TokenizerStep[] {
  if (step === null) return [];
  return [step, ...(step.normalizers ?? []), ...(step.pretokenizers ?? [])];
}
