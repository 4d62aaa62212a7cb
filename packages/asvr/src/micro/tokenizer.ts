import { WORDS_PATTERN } from "../language/known-patterns.js";
import { wordsOf } from "./language.js";
import { THINGS, type Things } from "./things.js";

export const SPECIAL_TOKENS = ["<unk>", "<s>", "</s>", "<image>", "<pad>"] as const;

/** The roles of LLaVA's conversation template. */
const ROLES = ["USER:", "ASSISTANT:"];

/**
 * A `tokenizer.json` (Hugging Face format) for the micro world: a byte-fallback BPE as Llama's, whose only pieces are
 * whole words. Any text encodes and decodes back exactly; a word of the world costs one token, any other text one
 * token a UTF-8 byte, and nothing becomes `<unk>`.
 *
 * - Each line gets a space put before it, and decoding takes it away. So a word is the same token at the start of a
 *   text, after a newline ("<image>\nwhat digit ?") and inside a line. As in Llama's tokenizer, the text after a
 *   special token counts as a new text: "<s> dog" therefore has one space more than "<s>dog".
 * - The pieces hold a real space, not the usual U+2581, which a text could contain and would lose.
 * - `ignore_merges` looks a whole piece up first, so no merges are needed.
 */
export function buildTokenizer(things: Things = THINGS.standard) {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = [...SPECIAL_TOKENS, ...bytes, " ", ...[...ROLES, ...wordsOf(things)].map((word) => ` ${word}`)];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: " " },
        { type: "Replace", pattern: { String: "\n" }, content: "\n " },
      ],
    },
    pre_tokenizer: {
      type: "Split",
      pattern: { Regex: WORDS_PATTERN },
      behavior: "Isolated",
      invert: false,
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [
        { SpecialToken: { id: "<s>", type_id: 0 } },
        { Sequence: { id: "A", type_id: 0 } },
        { Sequence: { id: "B", type_id: 0 } },
      ],
      special_tokens: { "<s>": { id: "<s>", ids: [SPECIAL_TOKENS.indexOf("<s>")], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Replace", pattern: { String: "\n " }, content: "\n" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: true,
      ignore_merges: true,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges: [] as string[],
    },
  };
}

/** The `tokenizer_config.json` beside it. Without `clean_up_tokenization_spaces: false`, " ?" would decode as "?". */
export function buildTokenizerConfig() {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    unk_token: "<unk>",
    bos_token: "<s>",
    eos_token: "</s>",
    pad_token: "<pad>",
    additional_special_tokens: ["<image>"],
    clean_up_tokenization_spaces: false,
    model_max_length: 2048,
  };
}
