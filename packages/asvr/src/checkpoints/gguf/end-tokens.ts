/** The keys that name a token at which an answer ends: of a text, a turn, a message, and of filling in between. */
const keys = ["eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"];

/** Tokens that end an answer wherever they are in a vocabulary, whether or not a key names them, as in llama.cpp. */
const names: ReadonlySet<string> = new Set([
  ...["</s>", "<eos>", "[EOS]", "<|endoftext|>", "<|end_of_text|>"],
  ...["<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<turn|>", "<end_of_utterance>"],
  ...["<EOT>", "_<EOT>", "[EOT]", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>", "<|tool_response>"],
  ...["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|file_sep|>"],
  ...["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
]);

/**
 * The tokens at which llama.cpp ends an answer: those that a GGUF file's keys name, and those of a known spelling. Files
 * often name the end of a text alone, where a chat model says that its turn is over.
 * @param metadata the file's, with a vocabulary that was read
 * @returns ids in ascending order
 */
export function ggufEndTokens(metadata: ReadonlyMap<string, unknown>): number[] {
  const tokens = metadata.get("tokenizer.ggml.tokens") as readonly string[];
  const ids = new Set<number>();
  for (const key of keys) {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`);
    if (typeof id === "number" && tokens[id] !== undefined) ids.add(id);
  }
  for (const [id, token] of tokens.entries()) if (names.has(token)) ids.add(id);
  const drop = (name: string) => ids.delete(tokens.indexOf(name));
  const has = (name: string) => ids.has(tokens.indexOf(name));
  // Where a model's calls and returns have tokens of their own, this one stands between parts of one answer.
  const calls = has("<|call|>") || has("<|calls|>");
  if (calls && (has("<|flush|>") || (has("<|call|>") && has("<|return|>")))) drop("<|end|>");
  if (has("<|tool_response>")) drop("</s>");
  return [...ids].sort((a, b) => a - b);
}
