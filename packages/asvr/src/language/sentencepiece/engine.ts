import { TextDecoder } from "node:util";
import type { AddedToken, PrefixRule, TokenizerEngine } from "../tokenizer-engine.js";
import { AddedTokenSplitter } from "./added-token-splitter.js";
import { SPACE_SYMBOL } from "./normalizer.js";
import type { SentencePieceProcessor } from "./processor.js";

export interface SentencePieceOptions {
  readonly addedTokens: readonly AddedToken[];
  /** As transformers' `legacy`: every text between special tokens is a text of its own, with a dummy space. */
  readonly legacy: boolean;
  /** Whether a text gets a dummy space, where not `legacy`. */
  readonly addPrefixSpace: boolean;
  readonly unknownToken: string;
  /** What is put before and after a text. */
  readonly startIds: readonly number[];
  readonly endIds: readonly number[];
}

/** `tokenizer.model` at work as in transformers' LlamaTokenizer, the one that is not "fast". */
export class SentencePieceEngine implements TokenizerEngine {
  readonly prefixRule: PrefixRule;
  readonly addedTokens: readonly AddedToken[];
  readonly vocabulary: ReadonlyMap<string, number>;

  readonly #processor: SentencePieceProcessor;
  readonly #options: SentencePieceOptions;
  readonly #splitter: AddedTokenSplitter;
  readonly #tokens: ReadonlyMap<number, string>;
  readonly #special: ReadonlySet<number>;
  readonly #unknownLength: number;

  constructor(processor: SentencePieceProcessor, options: SentencePieceOptions) {
    const { addedTokens, legacy, addPrefixSpace } = options;
    this.#processor = processor;
    this.#options = options;
    this.addedTokens = addedTokens;
    this.#splitter = new AddedTokenSplitter(addedTokens);
    this.vocabulary = new Map([...processor.ids, ...addedTokens.map(({ content, id }) => [content, id] as const)]);
    this.#tokens = new Map([...this.vocabulary].map(([token, id]) => [id, token]));
    this.#special = new Set(addedTokens.filter(({ special }) => special).map(({ id }) => id));
    this.#unknownLength = processor.encode(options.unknownToken, { dummySpace: false }).length;
    const hasDummy = legacy ? processor.model.normalizer.addDummyPrefix : addPrefixSpace;
    this.prefixRule = hasDummy ? (legacy ? "every" : "first") : "none";
  }

  tokenOf(id: number): string | undefined {
    return this.#tokens.get(id);
  }

  encode(text: string, addSpecialTokens: boolean): number[] {
    const ids = this.#options.legacy ? this.#parts(text, true) : this.#encodeOnce(text);
    return addSpecialTokens ? [...this.#options.startIds, ...ids, ...this.#options.endIds] : ids;
  }

  encodeBare(text: string): number[] {
    return this.#parts(text, false);
  }

  decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    const kept = skipSpecialTokens ? ids.filter((id) => !this.#special.has(id)) : ids;
    let text = "";
    let bytes: number[] = [];
    const endBytes = () => {
      if (bytes.length > 0) text += utf8.decode(Uint8Array.from(bytes));
      bytes = [];
    };
    for (const id of kept) {
      const byte = byteOf(this.tokenOf(id) ?? "");
      if (byte !== undefined) bytes.push(byte);
      else {
        endBytes();
        text += (this.tokenOf(id) ?? "").replaceAll(SPACE_SYMBOL, " ");
      }
    }
    endBytes();
    return this.prefixRule !== "none" && text.startsWith(" ") ? text.slice(1) : text;
  }

  /** `legacy: false`: one dummy space for the whole text, and none if a special token comes first. */
  #encodeOnce(text: string): number[] {
    if (this.prefixRule === "none" || text === "") return this.#parts(text, false);
    const ids = this.#parts(SPACE_SYMBOL + text, false);
    const isLost = ids.length > 1 && this.tokenOf(ids[0]!) === SPACE_SYMBOL && this.#special.has(ids[1]!);
    return isLost ? ids.slice(1) : ids;
  }

  #parts(text: string, dummySpace: boolean): number[] {
    const { legacy } = this.#options;
    const parts = this.#splitter.split(legacy ? text : text.replaceAll(SPACE_SYMBOL, " "));
    return parts.flatMap((part) => {
      if (typeof part !== "string") return [part.id];
      return legacy ? this.#processor.encode(part, { dummySpace }) : this.#encodeInside(part);
    });
  }

  /** A text that begins with spaces keeps them: transformers puts the unknown token before it, and takes it off again. */
  #encodeInside(text: string): number[] {
    if (!text.startsWith(" ")) return this.#processor.encode(text, { dummySpace: false });
    const ids = this.#processor.encode(this.#options.unknownToken + text, { dummySpace: false });
    return ids.slice(this.#unknownLength);
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

function byteOf(token: string): number | undefined {
  return /^<0x[0-9A-F]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : undefined;
}
