/**
 * Where sentencepiece's dummy space is put: before the first piece of text ("first", `legacy: false`, Vicuna 1.5),
 * before every piece of text between special tokens ("every", `legacy: true`), or nowhere (byte-level BPE).
 */
export type PrefixRule = "none" | "first" | "every";

/** A token that is cut out of a text before anything else is done with it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Left out when decoding without special tokens. */
  readonly special: boolean;
  /** Whether spaces on a side belong to the token. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  /** Only where it stands apart. */
  readonly single_word?: boolean;
}

/** What turns text into ids and back, whatever file it was read from. */
export interface TokenizerEngine {
  readonly prefixRule: PrefixRule;
  readonly addedTokens: readonly AddedToken[];
  /** Every token as the vocabulary spells it, and its id. */
  readonly vocabulary: ReadonlyMap<string, number>;
  tokenOf(id: number): string | undefined;
  encode(text: string, addSpecialTokens: boolean): number[];
  /** The ids of a text without its dummy space and special tokens. */
  encodeBare(text: string): number[];
  /** The text of ids, which all are tokens. */
  decode(ids: readonly number[], skipSpecialTokens: boolean): string;
}

/** The names of the special tokens, as `tokenizer_config.json` has them. */
export interface TokenizerConfig {
  bos_token?: TokenName;
  eos_token?: TokenName;
  pad_token?: TokenName;
  unk_token?: TokenName;
  additional_special_tokens?: TokenName[];
  clean_up_tokenization_spaces?: boolean;
}
export type TokenName = string | { content: string } | null;

export function nameOf(name: TokenName | undefined): string | undefined {
  return typeof name === "string" ? name : name?.content;
}
