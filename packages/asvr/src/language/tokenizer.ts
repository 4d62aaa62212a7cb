import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { TextDecoder } from "node:util";
import { Tokenizer } from "@huggingface/tokenizers";
import { ConfigError } from "../errors.js";

/** What is read of `tokenizer_config.json`. */
export interface TokenizerConfig {
  bos_token?: TokenName;
  eos_token?: TokenName;
  pad_token?: TokenName;
  clean_up_tokenization_spaces?: boolean;
}
type TokenName = string | { content: string } | null;

/** What is read of `tokenizer.json`; the rest goes to the library as it is. */
export interface TokenizerJson {
  normalizer: Step | null;
  pre_tokenizer: Step | null;
  added_tokens: { id: number; content: string; special: boolean }[];
}
interface Step {
  type: string;
  prepend_scheme?: string;
  add_prefix_space?: boolean;
  normalizers?: Step[];
  pretokenizers?: Step[];
}

/** What is used of the library, whose own types TypeScript does not find (imports without an ending). */
interface Library {
  encode(text: string, options?: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
  decoder: Decoder | null;
}
interface Decoder {
  decoders?: Decoder[];
  text_decoder?: TextDecoder;
}

/**
 * Where sentencepiece's dummy space is put: before the first piece of text ("first", `legacy: false`, Vicuna 1.5),
 * before every piece of text between special tokens ("every", `legacy: true`), or nowhere (byte-level BPE).
 */
type PrefixRule = "none" | "first" | "every";

/** A text tokenizer read from Hugging Face's `tokenizer.json`. */
export class TextTokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number;
  readonly padId: number | undefined;
  /** What the tokenizer puts before every text: the bos for Llama, nothing for Qwen2. */
  readonly startIds: readonly number[];

  readonly #library: Library;
  readonly #bare: Library; // the same without a dummy space
  readonly #prefixRule: PrefixRule;
  readonly #addedIds: ReadonlySet<number>;
  readonly #addedContents: readonly string[];

  /** @throws ConfigError when the tokenizer has no eos, or is of a kind that the library does not know */
  constructor(json: TokenizerJson, config: TokenizerConfig = {}) {
    const settings = { ...config, clean_up_tokenization_spaces: config.clean_up_tokenization_spaces ?? false };
    this.#prefixRule = prefixRule(json);
    this.#library = new Tokenizer(json, settings);
    keepByteOrderMarks(this.#library.decoder);
    this.#bare = this.#prefixRule === "none" ? this.#library : new Tokenizer(withoutPrefix(json), settings);
    this.#addedIds = new Set(json.added_tokens.map(({ id }) => id));
    this.#addedContents = json.added_tokens.map(({ content }) => content);

    this.vocabSize = largest(this.#library.get_vocab().values()) + 1;
    this.bosId = this.#idOf(config.bos_token);
    this.padId = this.#idOf(config.pad_token);
    const eosId = this.#idOf(config.eos_token);
    if (eosId === undefined) {
      throw new ConfigError(
        `tokenizer: eos_token is ${JSON.stringify(config.eos_token)}, which the vocabulary does not have. Name the token that ends an answer as eos_token in tokenizer_config.json, beside tokenizer.json.`,
      );
    }
    this.eosId = eosId;
    this.startIds = this.#library.encode("").ids;
  }

  /**
   * Reads `tokenizer.json`, and the names of the special tokens from `tokenizer_config.json` beside it.
   * @throws ConfigError when one of them is missing or cannot be used
   */
  static fromFile(path: string): TextTokenizer {
    const configPath = join(dirname(path), "tokenizer_config.json");
    if (!existsSync(path)) {
      throw new ConfigError(`tokenizer: there is no ${path}. It is the tokenizer.json of the model's folder.`);
    }
    if (!existsSync(configPath)) {
      throw new ConfigError(`tokenizer: there is no ${configPath}. It names the bos, eos and padding tokens.`);
    }
    try {
      return new TextTokenizer(readJson<TokenizerJson>(path), readJson<TokenizerConfig>(configPath));
    } catch (cause) {
      throw new ConfigError(`tokenizer: ${path} cannot be used: ${(cause as Error).message}`, { cause });
    }
  }

  /** The ids of a text, exactly as `tokenizer.json` says. Special tokens inside the text are recognised. */
  encode(text: string, { addSpecialTokens = false } = {}): number[] {
    return this.#library.encode(text, { add_special_tokens: addSpecialTokens }).ids;
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
    const known = Array.from(ids).filter((id) => this.#library.id_to_token(id) !== undefined);
    if (known.length === 0) return ""; // the library refuses an empty list
    return this.#library.decode(known, { skip_special_tokens: skipSpecialTokens });
  }

  /** Every token as the vocabulary spells it, and its id. */
  get vocabulary(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#library.get_vocab());
  }

  /** The id of a token as the vocabulary spells it, such as `</s>` or `▁the`. */
  tokenId(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  #encodePiece(piece: string, before: Before): number[] {
    if (this.#prefixRule === "every") {
      if (before !== "text") return this.encode(piece);
      const cut = this.#firstAddedToken(piece);
      return [...bareIds(this.#bare, piece.slice(0, cut)), ...this.encode(piece.slice(cut))];
    }
    const wantsSpace = this.#prefixRule === "first" && before === "nothing" && this.#firstAddedToken(piece) > 0;
    return bareIds(this.#bare, wantsSpace ? ` ${piece}` : piece);
  }

  /** Where the first added token begins; the length of the text if there is none. */
  #firstAddedToken(text: string): number {
    const starts = this.#addedContents.map((content) => text.indexOf(content)).filter((start) => start >= 0);
    return Math.min(text.length, ...starts);
  }

  #idOf(name: TokenName | undefined): number | undefined {
    if (name === undefined || name === null) return undefined;
    return this.tokenId(typeof name === "string" ? name : name.content);
  }
}

function largest(ids: Iterable<number>): number {
  let most = -1;
  for (const id of ids) most = Math.max(most, id);
  return most;
}

/** What stands before a piece of text. */
type Before = "nothing" | "special" | "text";

function bareIds(bare: Library, text: string): number[] {
  return bare.encode(text, { add_special_tokens: false }).ids;
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

/** The same tokenizer without a dummy space. */
function withoutPrefix(json: TokenizerJson): TokenizerJson {
  const copy = structuredClone(json);
  if (copy.normalizer?.type === "Prepend") copy.normalizer = null;
  for (const step of flatten(copy.normalizer)) {
    step.normalizers = step.normalizers?.filter(({ type }) => type !== "Prepend");
  }
  for (const step of flatten(copy.pre_tokenizer)) {
    if (step.type === "Metaspace") step.prepend_scheme = "never";
    if (step.type === "ByteLevel") step.add_prefix_space = false;
  }
  return copy;
}

/** A step and, for a sequence, the steps in it. */
function flatten(step: Step | null): Step[] {
  if (step === null) return [];
  return [step, ...(step.normalizers ?? []), ...(step.pretokenizers ?? [])];
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}
