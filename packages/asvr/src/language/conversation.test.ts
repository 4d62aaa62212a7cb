import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { promptOf } from "./conversation.fixture.js";
import {
  encodeSpans,
  IGNORE_INDEX,
  IMAGE_TAG,
  IMAGE_TOKEN_INDEX,
  type Message,
  micro,
  plain,
  renderConversation,
  v1,
} from "./conversation.js";
import { TextTokenizer } from "./tokenizer.js";

const tiny = join(import.meta.dirname, "../../goldens/numerics/tokenizer-tiny");
const tokenizers = {
  legacy_false: TextTokenizer.fromFile(join(tiny, "tokenizer.json")),
  legacy_true: TextTokenizer.fromFile(join(tiny, "tokenizer_prepend.json")),
};

test("an answer that looks like a turn is supervised whole", () => {
  const answer = "He said ASSISTANT: yes</s>USER: no";
  const spans = renderConversation(v1, [
    { from: "human", value: "Say it." },
    { from: "gpt", value: answer },
  ]);
  expect(spans.at(-1)).toEqual({ kind: "text", text: ` ${answer}</s>`, supervised: true });
});

test("micro puts the picture first, so that questions share it", () => {
  const spans = renderConversation(micro, [
    { from: "human", value: "How many?\n<image>" },
    { from: "gpt", value: "Two." },
    { from: "human", value: "Of what?" },
    { from: "gpt", value: "Cats." },
  ]);
  expect(promptOf(spans)).toBe("<image>USER: How many? ASSISTANT: Two.</s>USER: Of what? ASSISTANT: Cats.</s>");
  const { inputIds } = encodeSpans(tokenizers.legacy_false, spans);
  expect(inputIds.slice(0, 2)).toEqual([1, IMAGE_TOKEN_INDEX]);
});

test("a picture stands where its tag stands: micro has it before that question", () => {
  const messages: Message[] = [
    { from: "human", value: "Hello." },
    { from: "gpt", value: "Hi." },
    { from: "human", value: "<image>\nWhat?" },
    { from: "gpt", value: "A cat." },
  ];
  const greeting = "USER: Hello. ASSISTANT: Hi.</s>";
  expect(promptOf(renderConversation(micro, messages))).toBe(`${greeting}<image>USER: What? ASSISTANT: A cat.</s>`);
  expect(promptOf(renderConversation(micro, messages.slice(0, 1)))).toBe("USER: Hello. ASSISTANT:");
});

test("a context stands in the place of a picture, a text of its own", () => {
  const messages: Message[] = [
    { from: "human", value: "How many?" },
    { from: "gpt", value: "Two." },
  ];
  const tokenizer = tokenizers.legacy_false;
  const { inputIds, labels } = encodeSpans(tokenizer, renderConversation(micro, messages, "two cats"));
  const pictured = encodeSpans(
    tokenizer,
    renderConversation(micro, [{ from: "human", value: "<image>\nHow many?" }, messages[1]!]),
  );
  const context = tokenizer.encode("two cats");
  expect(inputIds).toEqual([...tokenizer.startIds, ...context, ...pictured.inputIds.slice(2)]);
  expect(labels.slice(1 + context.length)).toEqual(pictured.labels.slice(2));
  expect(labels.slice(0, 1 + context.length).every((label) => label === IGNORE_INDEX)).toBe(true);
});

const words = fc
  .array(fc.constantFrom("cat", " ", "\n", "ASSISTANT:", " USER: ", "</s>", "é", "▁", "7", ",", "<s>"), {
    maxLength: 6,
  })
  .map((parts) => parts.join(""));

test.each(Object.keys(tokenizers) as (keyof typeof tokenizers)[])("ids are those of the whole prompt, %s", (legacy) => {
  const tokenizer = tokenizers[legacy];
  fc.assert(
    fc.property(fc.array(fc.tuple(words, words), { minLength: 1, maxLength: 3 }), fc.boolean(), (turns, hasImage) => {
      const messages = turns.flatMap(([question, answer], index): Message[] => [
        { from: "human", value: hasImage && index === 0 ? `${IMAGE_TAG}\n${question}` : question },
        { from: "gpt", value: answer || "yes" },
      ]);
      const spans = renderConversation(v1, messages);
      const chunks = promptOf(spans).split(IMAGE_TAG);
      const whole = chunks.flatMap((chunk, index) => [
        ...(index === 0 ? tokenizer.startIds : [IMAGE_TOKEN_INDEX]),
        ...tokenizer.encodePieces([chunk]).flat(),
      ]);
      const { inputIds, labels } = encodeSpans(tokenizer, spans);
      expect(inputIds).toEqual(whole);
      expect(labels.filter((label) => label === tokenizer.eosId).length).toBeGreaterThanOrEqual(turns.length);
      expect(labels.every((label, index) => label === IGNORE_INDEX || label === inputIds[index])).toBe(true);
    }),
  );
});

test("turns that do not alternate are refused", () => {
  const twice: Message[] = [
    { from: "human", value: "One?" },
    { from: "human", value: "Two?" },
  ];
  expect(() => renderConversation(v1, twice)).toThrow("message 1 is from human, not gpt");
});

test("plain takes one caption", () => {
  const pair: Message[] = [
    { from: "human", value: "<image>" },
    { from: "gpt", value: "a cat" },
  ];
  expect(() => renderConversation(plain, [...pair, ...pair])).toThrow("2 questions, but the template plain takes 1");
});
