import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { TextTokenizer } from "../tokenizer.js";
import { AnswerText } from "./answer-text.js";

const numerics = join(import.meta.dirname, "..", "..", "..", "goldens", "numerics");
const tokenizer = TextTokenizer.fromFile(join(numerics, "tokenizer-tiny", "tokenizer.json"));

function told(ids: readonly number[], stops: readonly string[] = []) {
  const text = new AnswerText(tokenizer, stops);
  const pieces: string[] = [];
  for (const id of ids) {
    pieces.push(text.add(id));
    if (text.isStopped) break;
  }
  pieces.push(text.end());
  return { text: pieces.join(""), pieces, isStopped: text.isStopped };
}

test("the pieces together are the text of all tokens, and no piece has half a character", () => {
  const anyText = fc.array(
    fc.oneof(
      fc.constantFrom("é", "🙂", " ", "  ", "\n", "the", " cat", "日本", "\ufeff", "<s>"),
      fc.string({ unit: "grapheme" }),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(anyText, (parts) => {
      const ids = tokenizer.encode(parts.join(""));
      const { text, pieces } = told(ids);
      expect(text).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }));
      expect(pieces.some((piece) => /[\ud800-\udbff]$|^[\udc00-\udfff]/.test(piece))).toBe(false);
    }),
  );
});

test("a character of several byte tokens comes when it is whole", () => {
  const ids = tokenizer.encode("a🙂b");
  const { pieces } = told(ids);
  expect(pieces.length).toBeGreaterThan(5);
  expect(pieces.filter(Boolean)).toEqual(expect.arrayContaining(["🙂"]));
});

test("nothing of a stop string is told, wherever tokens end", () => {
  const text = "The answer is four.###Human: next";
  const ids = tokenizer.encode(text);
  for (const stop of ["###", "##", "four.###Human", " is", "next", "T"]) {
    const found = told(ids, [stop]);
    expect(found).toMatchObject({ text: text.slice(0, text.indexOf(stop)), isStopped: true });
  }
  expect(told(ids, ["four.", "answer"]).text).toBe("The ");
  expect(told(ids, ["nowhere", "next!"])).toMatchObject({ text, isStopped: false });
});
