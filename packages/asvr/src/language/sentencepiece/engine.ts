import { TextDecoder } from "node:util";
import type { AddedToken, PrefixRule, TokenizerEngine } from "../tokenizer-engine.js";
import { TokenizerWatch } from "../tokenizer-watch.js";
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
  /** Special tokens that have a part, such as bos: a dummy space right before one is dropped. */
  readonly namedIds: readonly number[];
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
  readonly #named: ReadonlySet<number>;
  /** A piece that is an added token, too, has that one's id. */
  readonly #renumbered = new Map<number, number>();
  readonly #unknownLength: number;
  readonly #watch: TokenizerWatch;

  constructor(processor: SentencePieceProcessor, options: SentencePieceOptions) {
    const { addedTokens, legacy, addPrefixSpace } = options;
    this.#processor = processor;
    this.#options = options;
    this.addedTokens = addedTokens;
    this.#splitter = new AddedTokenSplitter(addedTokens);
    this.vocabulary = new Map([...processor.ids, ...addedTokens.map(({ content, id }) => [content, id] as const)]);
    this.#tokens = new Map([...this.vocabulary].map(([token, id]) => [id, token]));
    this.#special = new Set(addedTokens.filter(({ special }) => special).map(({ id }) => id));
    for (const { content, id } of addedTokens) {
      const own = processor.ids.get(content);
      if (own !== undefined) this.#renumbered.set(own, id);
    }
    this.#named = new Set(options.namedIds);
    this.#watch = new TokenizerWatch(manyLengths(processor.ids.keys()));
    this.#unknownLength = processor.encode(options.unknownToken, { dummySpace: false }).length;
    const hasDummy = legacy ? processor.model.normalizer.addDummyPrefix : addPrefixSpace;
    this.prefixRule = hasDummy ? (legacy ? "every" : "first") : "none";
  }

  tokenOf(id: number): string | undefined {
    return this.#tokens.get(id);
  }

  encode(text: string, addSpecialTokens: boolean): number[] {
    const ids = this.#options.legacy ? this.#watch.run(text, () => this.#parts(text, true)) : this.encodeStart(text);
    return addSpecialTokens ? [...this.#options.startIds, ...ids, ...this.#options.endIds] : ids;
  }

  encodeBare(text: string): number[] {
    const spaced = this.#options.legacy ? text : text.replaceAll(SPACE_SYMBOL, " ");
    return this.#watch.run(text, () => this.#parts(spaced, false));
  }

  encodeStart(text: string): number[] {
    return this.#watch.run(text, () => this.#start(text));
  }

  #start(text: string): number[] {
    if (text === "") return [];
    const spaced = text.replaceAll(SPACE_SYMBOL, " ");
    const parts = this.#splitter.split(this.prefixRule === "none" ? spaced : SPACE_SYMBOL + spaced);
    const [first, second] = parts;
    const isLost = first === SPACE_SYMBOL || first === " ";
    if (isLost && typeof second === "object" && this.#named.has(second.id)) parts.shift();
    return this.#encodeParts(parts, false);
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

  #parts(text: string, dummySpace: boolean): number[] {
    return this.#encodeParts(this.#splitter.split(text), dummySpace);
  }

  #encodeParts(parts: readonly (string | AddedToken)[], dummySpace: boolean): number[] {
    return parts.flatMap((part) => {
      if (typeof part !== "string") return [part.id];
      const ids = this.#options.legacy ? this.#processor.encode(part, { dummySpace }) : this.#encodeInside(part);
      return ids.map((id) => this.#renumbered.get(id) ?? id);
    });
  }

  /** A text that begins with spaces keeps them: transformers puts the unknown token before it, and takes it off again. */
  #encodeInside(text: string): number[] {
    if (!text.startsWith(" ") && !text.startsWith(SPACE_SYMBOL))
      return this.#processor.encode(text, { dummySpace: false });
    const ids = this.#processor.encode(this.#options.unknownToken + text, { dummySpace: false });
    return ids.slice(this.#unknownLength);
  }
}

/** Longer pieces than published models have, of which there may be one of every length. */
const USUAL_LENGTH = 128;

function manyLengths(pieces: Iterable<string>): string[] {
  let longest = 0;
  for (const piece of pieces) longest = Math.max(longest, piece.length);
  return longest > USUAL_LENGTH ? [`pieces of up to ${longest} characters`] : [];
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

function byteOf(token: string): number | undefined {
  return /^<0x[0-9A-F]{2}>$/.test(token) ? Number.parseInt(token.slice(3, 5), 16) : undefined;
}
