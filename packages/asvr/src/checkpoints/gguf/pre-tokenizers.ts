import { GPT2_PATTERN, gpt4Pattern } from "../../language/known-patterns.js";

/** How a text is split before byte-level BPE, and what else the name of a way of splitting stands for. */
export interface PreTokenizer {
  /** Patterns, each applied to what the one before left. */
  readonly splits: readonly string[];
  /** Whether texts are composed first (NFC). */
  readonly composes?: boolean;
  /** Whether a word that is a token is not merged. */
  readonly ignoresMerges?: boolean;
  /** Whether bos comes first where the file does not say. */
  readonly addsBos?: boolean;
}

const gpt2: PreTokenizer = { splits: [GPT2_PATTERN] };
/** Every digit by itself first. */
const digitsApart: PreTokenizer = { splits: ["\\p{N}", GPT2_PATTERN] };
const llama3: PreTokenizer = { splits: [gpt4Pattern("\\p{N}{1,3}")], ignoresMerges: true, addsBos: true };
const qwen2: PreTokenizer = { splits: [gpt4Pattern("\\p{N}")], composes: true };

/** `tokenizer.ggml.pre` by name: the tokenizers of the models that llama.cpp tells apart. */
export const patterns: ReadonlyMap<string, PreTokenizer> = new Map(
  Object.entries({
    ...{ "gpt-2": gpt2, phi2: gpt2, olmo: gpt2, mpt: gpt2 },
    ...{ smollm: digitsApart, starcoder: digitsApart, refact: digitsApart, "command-r": digitsApart },
    ...{ "llama-bpe": llama3, llama3: llama3, "llama-v3": llama3 },
    ...{ qwen2, "deepseek-r1-qwen": qwen2 },
  }),
);
