import { ConfigError } from "../../errors.js";
import { SentencePieceEngine } from "../../language/sentencepiece/engine.js";
import {
  type Piece,
  type PieceKind,
  pieceKinds,
  requireConsistent,
  type SentencePieceModel,
} from "../../language/sentencepiece/model-proto.js";
import { SentencePieceProcessor } from "../../language/sentencepiece/processor.js";
import { TextTokenizer } from "../../language/tokenizer.js";
import type { AddedToken, TokenizerConfig } from "../../language/tokenizer-engine.js";
import { requireTokenizerJson, type TokenizerJson, type TokenizerStep } from "../../language/tokenizer-json.js";
import { ggufEndTokens } from "./end-tokens.js";
import { patterns } from "./pre-tokenizers.js";

/** What a GGUF file says of itself. */
type Metadata = ReadonlyMap<string, unknown>;

/** The key of a whole tokenizer.json inside a GGUF file. */
export const WHOLE_TOKENIZER = "tokenizer.huggingface.json";

/** The vocabulary of a GGUF file. */
interface GgufVocabulary {
  readonly tokens: readonly string[];
  readonly kinds: readonly PieceKind[];
  readonly added: readonly AddedToken[];
  readonly names: TokenizerConfig;
  /** Whether the ids of bos and eos are put around a text. */
  readonly addBos: boolean | undefined;
  readonly addEos: boolean | undefined;
}

/**
 * The tokenizer of a language model in a GGUF file: byte-level BPE (`gpt2`), SentencePiece's BPE (`llama`), or
 * the words of our own runs (`rwkv`, beside which the file has the whole tokenizer).
 * @param metadata the file's, by key, as `openGguf` gives it
 * @throws ConfigError for another kind, a pattern of splitting that is not known, and contradictions
 */
export function tokenizerFromGguf(metadata: Metadata): TextTokenizer {
  const kind = metadata.get("tokenizer.ggml.model");
  const whole = metadata.get(WHOLE_TOKENIZER);
  if (kind === "rwkv" && typeof whole === "string") {
    return new TextTokenizer(requireTokenizerJson(parsed(whole)), readVocabulary(metadata).names);
  }
  if (kind !== "gpt2" && kind !== "llama") {
    const words = `rwkv where the file has ${WHOLE_TOKENIZER}, too`;
    throw new ConfigError(
      `GGUF tokenizer: tokenizer.ggml.model is ${JSON.stringify(kind) ?? "missing"}; gpt2 and llama can be read, and ${words}.`,
    );
  }
  const vocabulary = readVocabulary(metadata);
  if (vocabulary.names.eos_token === undefined) {
    throw new ConfigError(
      "GGUF tokenizer: tokenizer.ggml.eos_token_id is missing: the file doesn't say which token ends an answer. " +
        "Convert the model anew, or write the id into a copy (Python's gguf: gguf-new-metadata --special-token eos TOKEN IN OUT).",
    );
  }
  if (kind === "llama") return sentencePiece(metadata, vocabulary);
  return new TextTokenizer(byteLevel(metadata, vocabulary), vocabulary.names);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new ConfigError(`GGUF tokenizer: ${WHOLE_TOKENIZER} is no JSON: ${(cause as Error).message}`, { cause });
  }
}

/**
 * The byte-level BPE of a GGUF file as the two files of Hugging Face's: tokenizer.json and tokenizer_config.json.
 * @param more special tokens to put after the vocabulary
 * @throws ConfigError for a vocabulary of another kind
 */
export function ggufTokenizerFiles(
  metadata: Metadata,
  more: readonly string[] = [],
): { json: TokenizerJson; config: TokenizerConfig } {
  const kind = metadata.get("tokenizer.ggml.model");
  if (kind !== "gpt2") {
    throw new ConfigError(
      `GGUF tokenizer: tokenizer.ggml.model is ${JSON.stringify(kind)}; as a tokenizer.json gpt2 can be written.`,
    );
  }
  const vocabulary = readVocabulary(metadata);
  const count = vocabulary.tokens.length;
  const added = more.map((content, index): AddedToken => ({ id: count + index, content, special: true }));
  // The other fields must be there for the reference's reader.
  const whole = [...vocabulary.added, ...added].map((token) => ({
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
    ...token,
  }));
  return { json: byteLevel(metadata, { ...vocabulary, added: whole }), config: vocabulary.names };
}

function byteLevel(metadata: Metadata, vocabulary: GgufVocabulary): TokenizerJson {
  const { tokens, added, names, addBos, addEos } = vocabulary;
  const pre = metadata.get("tokenizer.ggml.pre") ?? "default";
  const known = patterns.get(String(pre));
  if (known === undefined) {
    throw new ConfigError(
      `GGUF tokenizer: tokenizer.ggml.pre is ${JSON.stringify(pre)}, whose way of splitting is not known. Known are ${[...patterns.keys()].join(", ")}.`,
    );
  }
  const bos = (addBos ?? known.addsBos === true) && names.bos_token ? [special(names.bos_token as string)] : [];
  const eos = addEos && names.eos_token ? [special(names.eos_token as string)] : [];
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  const splits = known.splits.map(
    (Regex): TokenizerStep => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false }),
  );
  return requireTokenizerJson({
    added_tokens: added,
    normalizer: known.composes ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...splits, bytes] },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: textsOf(metadata, "tokenizer.ggml.merges").map((merge) => pairOf(merge)),
      ignore_merges: known.ignoresMerges === true,
      ...{ unk_token: null, fuse_unk: false, byte_fallback: false },
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [...bos, { Sequence: { id: "A", type_id: 0 } }, ...eos],
      ...{ pair: [], special_tokens: {} },
    },
    decoder: bytes,
  });
}

function sentencePiece(metadata: Metadata, vocabulary: GgufVocabulary): TextTokenizer {
  const { tokens, kinds, added, names, addBos, addEos } = vocabulary;
  const scores = numbersOf(metadata, "tokenizer.ggml.scores", tokens.length);
  const model: SentencePieceModel = {
    pieces: tokens.map((text, id): Piece => ({ text, kind: kinds[id]!, score: scores[id]! })),
    kind: "bpe",
    byteFallback: kinds.includes("byte"),
    whitespaceAsSuffix: false,
    normalizer: {
      charsMap: new Uint8Array(0),
      addDummyPrefix: metadata.get("tokenizer.ggml.add_space_prefix") !== false,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
    },
  };
  const idOf = (name: unknown) => (typeof name === "string" ? [tokens.indexOf(name)] : []);
  const engine = new SentencePieceEngine(new SentencePieceProcessor(consistent(model)), {
    addedTokens: added,
    ...{ legacy: true, addPrefixSpace: true, namedIds: [] },
    unknownToken: tokens[kinds.indexOf("unknown")]!,
    startIds: (addBos ?? true) ? idOf(names.bos_token) : [],
    endIds: addEos ? idOf(names.eos_token) : [],
  });
  return new TextTokenizer(engine, names);
}

function consistent(model: SentencePieceModel): SentencePieceModel {
  try {
    return requireConsistent(model);
  } catch (cause) {
    throw new ConfigError(`GGUF tokenizer: ${(cause as Error).message}.`, { cause });
  }
}

function readVocabulary(metadata: Metadata): GgufVocabulary {
  const tokens = textsOf(metadata, "tokenizer.ggml.tokens");
  const types = metadata.has("tokenizer.ggml.token_type")
    ? numbersOf(metadata, "tokenizer.ggml.token_type", tokens.length)
    : tokens.map(() => 1);
  const kinds = types.map((type, id) => {
    const kind = pieceKinds[type];
    if (kind === undefined) throw new ConfigError(`GGUF tokenizer: token ${id} is of the type ${type}; 1 to 6 exist.`);
    return kind;
  });
  const added = tokens.flatMap((content, id): AddedToken[] => {
    const kind = kinds[id]!;
    if ((kind !== "control" && kind !== "userDefined" && kind !== "unknown") || content === "") return [];
    return [{ id, content, special: kind !== "userDefined" }];
  });
  const nameOf = (key: string) => {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`);
    if (id === undefined) return undefined;
    const token = tokens[Number(id)];
    if (token === undefined) {
      throw new ConfigError(`GGUF tokenizer: ${key}_token_id is ${id}, but there are ${tokens.length} tokens.`);
    }
    return token;
  };
  const flag = (name: string) => {
    const value = metadata.get(`tokenizer.ggml.${name}`);
    return typeof value === "boolean" ? value : undefined;
  };
  const eos = nameOf("eos") ?? tokens[ggufEndTokens(metadata)[0] ?? -1];
  if (eos === undefined) {
    throw new ConfigError(
      "GGUF tokenizer: no token ends an answer: tokenizer.ggml.eos_token_id is missing, and no token has a name that is known for it.",
    );
  }
  return {
    tokens,
    kinds,
    added,
    names: { bos_token: nameOf("bos"), eos_token: eos, pad_token: nameOf("padding") },
    addBos: flag("add_bos_token"),
    addEos: flag("add_eos_token"),
  };
}

function textsOf(metadata: Metadata, key: string): readonly string[] {
  const value = metadata.get(key);
  if (Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === "string")) return value;
  throw new ConfigError(`GGUF tokenizer: ${key} must be a list of texts; it is ${described(value)}.`);
}

function numbersOf(metadata: Metadata, key: string, length: number): readonly number[] {
  const value = metadata.get(key);
  const list = Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value as ArrayLike<number>) : undefined;
  if (list?.length === length && list.every((entry) => Number.isFinite(entry))) return list;
  throw new ConfigError(`GGUF tokenizer: ${key} must be ${length} numbers, one a token; it is ${described(value)}.`);
}

function described(value: unknown): string {
  if (value === undefined) return "missing";
  const length = (value as { length?: number }).length;
  return typeof value === "object" ? `a list of ${length}` : JSON.stringify(value);
}

/** A merge is two tokens with a space between; a token may begin with one. */
function pairOf(merge: string): [string, string] {
  const space = merge.indexOf(" ", 1);
  return space < 0 ? [merge, ""] : [merge.slice(0, space), merge.slice(space + 1)];
}

function special(id: string) {
  return { SpecialToken: { id, type_id: 0 } };
}
