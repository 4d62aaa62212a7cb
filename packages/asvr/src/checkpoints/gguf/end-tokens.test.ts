import { expect, test } from "vitest";
import { ggufEndTokens } from "./end-tokens.js";

function endings(tokens: readonly string[], ids: Readonly<Record<string, number>> = {}): string[] {
  const named = Object.entries(ids).map(([name, id]) => [`tokenizer.ggml.${name}_token_id`, id] as const);
  return ggufEndTokens(new Map<string, unknown>([["tokenizer.ggml.tokens", tokens], ...named])).map(
    (id) => tokens[id]!,
  );
}

test("the end of a text, and the end of a turn by its key or its name", () => {
  const chatml = ["a", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|eot_id|>"];
  expect(endings(chatml, { eos: 1 })).toEqual(["<|endoftext|>", "<|im_end|>", "<|eot_id|>"]);
  expect(endings(["a", "[DONE]", "[OVER]", "[NEXT]"], { eos: 1, eot: 2, eom: 3 })).toEqual([
    "[DONE]",
    "[OVER]",
    "[NEXT]",
  ]);
  expect(endings(["a", "b"], { eos: 1, eot: 7 })).toEqual(["b"]); // no such token
});

test("a mark that stands inside of answers does not end them", () => {
  expect(endings(["<|return|>", "<|call|>", "<|end|>"])).toEqual(["<|return|>", "<|call|>"]);
  expect(endings(["<|calls|>", "<|flush|>", "<|end|>"])).toEqual(["<|calls|>", "<|flush|>"]);
  expect(endings(["<|return|>", "<|end|>"])).toEqual(["<|return|>", "<|end|>"]);
  expect(endings(["<eos>", "</s>", "<|tool_response>"], { eos: 0 })).toEqual(["<eos>", "<|tool_response>"]);
});
