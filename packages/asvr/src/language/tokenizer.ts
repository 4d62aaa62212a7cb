import { ConfigError } from "../errors.js";
import { JsonEngine } from "./json-engine.js";
import { PrefixMatcher } from "./sentencepiece/prefix-matcher.js";
import { CleanedTextStream, TextStream } from "./text-stream.js";
import { nameOf, type TokenizerConfig, type TokenizerEngine, type TokenName } from "./tokenizer-engine.js";
import {
  readTokenizerFolder,
  readTokenizerJson,
  readTokenizerModel,
  type SentencePieceConfig,
  sentencePieceFiles,
} from "./tokenizer-files.js";
import { requireTokenizerJson, type TokenizerJson } from "./tokenizer-json.js";

export type { TokenizerConfig } from "./tokenizer-engine.js";
export type { SentencePieceConfig } from "./tokenizer-files.js";
export type { TokenizerJson } from "./tokenizer-json.js";

/** The text tokenizer of a checkpoint: `tokenizer.json`, `tokenizer.model` or the vocabulary of a GGUF file. */
export class TextTokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number;
  readonly padId: number | undefined;
  /** What the tokenizer puts before every text: the bos for Llama, nothing for Qwen2. */
  readonly startIds: readonly number[];

  readonly #engine: TokenizerEngine;
  readonly #cleansUp: boolean;
  readonly #addedIds: ReadonlySet<number>;
  readonly #specialIds: ReadonlySet<number>;
  #added: PrefixMatcher | undefined;

  /** @throws ConfigError when the tokenizer has no eos, is damaged, or is of a kind that the library does not know */
  constructor(source: TokenizerJson | TokenizerEngine, config: TokenizerConfig = {}) {
    this.#engine = isEngine(source) ? source : new JsonEngine(requireTokenizerJson(source), config);
    this.#cleansUp = !isEngine(source) && config.clean_up_tokenization_spaces === true;
    const { addedTokens, vocabulary } = this.#engine;
    this.#addedIds = new Set(addedTokens.map(({ id }) => id));
    this.#specialIds = new Set(addedTokens.filter(({ special }) => special).map(({ id }) => id));

    this.vocabSize = largest(vocabulary.values()) + 1;
    this.bosId = this.#idOf(config.bos_token);
    this.padId = this.#idOf(config.pad_token);
    const eosId = this.#idOf(config.eos_token);
    if (eosId === undefined) {
      throw new ConfigError(
        `tokenizer: eos_token is ${JSON.stringify(config.eos_token)}, which the vocabulary does not have. Name the token that ends an answer as eos_token in tokenizer_config.json, beside tokenizer.json.`,
      );
    }
    this.eosId = eosId;
    this.startIds = this.#engine.encode("", true);
    this.decode(this.encode("a 1", { addSpecialTokens: true })); // what is broken breaks here, not at the first use
  }

  /**
   * Reads a checkpoint's folder: `tokenizer.json`, else the SentencePiece model `tokenizer.model`, with what
   * `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say.
   * @throws ConfigError when there is neither, or one cannot be used
   */
  static fromFolder(folder: string): TextTokenizer {
    const { engine, config } = readTokenizerFolder(folder);
    return naming(folder, () => new TextTokenizer(engine, config));
  }

  /**
   * Reads `tokenizer.json` or `tokenizer.model`, and the names of the special tokens from `tokenizer_config.json` or
   * `special_tokens_map.json` beside it.
   * @throws ConfigError when one of them is missing or cannot be used
   */
  static fromFile(path: string): TextTokenizer {
    const { engine, config } = path.endsWith(".model") ? readTokenizerModel(path) : readTokenizerJson(path);
    return naming(path, () => new TextTokenizer(engine, config));
  }

  /**
   * A SentencePiece model with the settings that stand beside it in a checkpoint.
   * @throws ConfigError when it is none, or one of a kind that shifts its ids
   */
  static fromSentencePiece(model: Uint8Array, config: SentencePieceConfig = {}): TextTokenizer {
    const files = sentencePieceFiles(model, config);
    return new TextTokenizer(files.engine, files.config);
  }

  /** The ids of a text, exactly as the tokenizer's file says. Special tokens inside the text are recognised. */
  encode(text: string, { addSpecialTokens = false } = {}): number[] {
    return this.#engine.encode(text, addSpecialTokens);
  }

  /** The ids of a prompt that a chat template wrote: bos is added unless it is written at the beginning. */
  encodePrompt(prompt: string): number[] {
    const ids = this.encode(prompt);
    const isWritten = this.startIds.length > 0 && this.startIds.every((id, index) => ids[index] === id);
    return isWritten ? ids : [...this.startIds, ...ids];
  }

  /**
   * The ids of one text that is given in pieces, by piece: no token reaches over a border, and the dummy space is put
   * only where the whole text would have it. Joined, they are the ids of the joined text unless a merge would cross a
   * border (none does before a space or beside a special token).
   *
   * A first piece that begins with a space gets its dummy space too, as in the original sentencepiece tokenizer;
   * a `tokenizer.json` of the "first" kind, and so `encode`, leaves it out there.
   */
  encodePieces(pieces: readonly string[]): number[][] {
    let before: Before = "nothing";
    return pieces.map((piece) => {
      if (piece === "") return [];
      const ids = this.#encodePiece(piece, before);
      before = this.#addedIds.has(ids.at(-1) ?? -1) ? "special" : "text";
      return ids;
    });
  }

  /** The text of ids. Ids that are no token (image positions, the padding of a vocabulary) give nothing. */
  decode(ids: ArrayLike<number>, { skipSpecialTokens = false } = {}): string {
    const known = Array.from(ids).filter((id) => this.#engine.tokenOf(id) !== undefined);
    if (known.length === 0) return ""; // the library refuses an empty list
    return this.#engine.decode(known, skipSpecialTokens);
  }

  /** Decodes ids as they come: the pieces of text joined are what `decode` gives for all of them. */
  stream(options: { skipSpecialTokens?: boolean } = {}): Pick<TextStream, "push" | "end"> {
    const decode = (ids: readonly number[]) => this.decode(ids, options);
    if (this.#cleansUp) return new CleanedTextStream(decode);
    const isLeftOut = (id: number) => options.skipSpecialTokens === true && this.#specialIds.has(id);
    return new TextStream(decode, (id) => !isLeftOut(id) && this.#engine.tokenOf(id) !== undefined);
  }

  /** Every token as the vocabulary spells it, and its id. */
  get vocabulary(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#engine.vocabulary);
  }

  /** The id of a token as the vocabulary spells it, such as `</s>` or `▁the`. */
  tokenId(token: string): number | undefined {
    return this.#engine.vocabulary.get(token);
  }

  #encodePiece(piece: string, before: Before): number[] {
    const { prefixRule } = this.#engine;
    if (prefixRule === "every") {
      if (before !== "text") return this.encode(piece);
      const cut = this.#firstAddedToken(piece);
      return [...this.#engine.encodeBare(piece.slice(0, cut)), ...this.encode(piece.slice(cut))];
    }
    return before === "nothing" ? this.#engine.encodeStart(piece) : this.#engine.encodeBare(piece);
  }

  /** Where the first added token begins; the length of the text if there is none. */
  #firstAddedToken(text: string): number {
    this.#added ??= new PrefixMatcher(this.#engine.addedTokens.map(({ content }) => content));
    let at = 0;
    while (at < text.length && this.#added.longestAt(text, at) === 0) at += 1;
    return at;
  }

  #idOf(name: TokenName | undefined): number | undefined {
    const token = nameOf(name);
    return token === undefined ? undefined : this.tokenId(token);
  }
}

function isEngine(source: TokenizerJson | TokenizerEngine): source is TokenizerEngine {
  return "encodeBare" in source;
}

function naming(path: string, make: () => TextTokenizer): TextTokenizer {
  try {
    return make();
  } catch (cause) {
    throw new ConfigError(`tokenizer: ${path} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

function largest(ids: Iterable<number>): number {
  let most = -1;
  for (const id of ids) most = Math.max(most, id);
  return most;
}

/** What stands before a piece of text. */
type Before = "nothing" | "special" | "text";
