import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeSpans,
  IGNORE_INDEX,
  IMAGE_TAG,
  IMAGE_TOKEN_INDEX,
  type Message,
  micro,
  plain,
  renderConversation,
  type Span,
  templates,
  v1,
} from "./conversation.js";
import { TextTokenizer } from "./tokenizer.js";

const numerics = join(process.env.ASVR_GOLDENS ?? join(import.meta.dirname, "../../goldens"), "numerics");
const tokenizers = {
  legacy_false: TextTokenizer.fromFile(join(numerics, "tokenizer-tiny/tokenizer.json")),
  legacy_true: TextTokenizer.fromFile(join(numerics, "tokenizer-tiny/tokenizer_prepend.json")),
};
type Legacy = keyof typeof tokenizers;

interface Encoded {
  input_ids: number[];
  labels: number[];
  supervised_char_spans: [number, number][];
}
interface Case extends Record<Legacy, Encoded> {
  template: "plain" | "v1";
  label: string;
  conversations: Message[];
  prompt: string;
}
interface Golden {
  cases: Case[];
  inference?: { turns: (string | null)[]; prompt: string; input_ids: Record<Legacy, number[]> }[];
}

const goldens = readdirSync(numerics)
  .filter((name) => name.startsWith("j_conversations") && name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(join(numerics, name), "utf8")) as Golden);
const cases = goldens.flatMap((golden) => golden.cases);
const inference = goldens.flatMap((golden) => golden.inference ?? []);

describe.each(Object.keys(tokenizers) as Legacy[])("goldens, %s", (legacy) => {
  test.each(cases)("$template: $label", ({ template, conversations, prompt, [legacy]: want }) => {
    const spans = renderConversation(templates[template], conversations);
    expect(promptOf(spans)).toBe(prompt);
    const { inputIds, labels } = encodeSpans(tokenizers[legacy], spans);
    expect(inputIds).toEqual(want.input_ids);
    if (want.supervised_char_spans.length > 0) {
      expect(labels).toEqual(want.labels);
      expect(supervisedSpans(spans)).toEqual(want.supervised_char_spans);
    } else {
      // The release gave the sample up, or it has no answer: then ours supervises the answers and nothing else.
      const answers = conversations.filter(({ from, value }) => from === "gpt" && value !== "");
      expect(supervisedSpans(spans)).toHaveLength(answers.length);
    }
  });

  test.each(inference)("prompt that asks: $turns", ({ turns, prompt, input_ids }) => {
    const messages = turns
      .map((value, index) => ({ from: index % 2 === 0 ? ("human" as const) : ("gpt" as const), value }))
      .filter((message): message is Message => message.value !== null);
    const spans = renderConversation(v1, messages);
    expect(promptOf(spans)).toBe(prompt);
    expect(encodeSpans(tokenizers[legacy], spans).inputIds).toEqual(input_ids[legacy]);
  });
});

/** The prompt as one text. */
function promptOf(spans: readonly Span[]): string {
  return spans.map((span) => (span.kind === "image" ? IMAGE_TAG : span.text)).join("");
}

/** [start, end) of the supervised text, in code points. */
function supervisedSpans(spans: readonly Span[]): [number, number][] {
  const found: [number, number][] = [];
  let start = 0;
  for (const span of spans) {
    const end = start + [...promptOf([span])].length;
    if (span.kind === "text" && span.supervised) found.push([start, end]);
    start = end;
  }
  return found;
}

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

test.each(Object.keys(tokenizers) as Legacy[])("ids are those of the whole prompt, %s", (legacy) => {
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
