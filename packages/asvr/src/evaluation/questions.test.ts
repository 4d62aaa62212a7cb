import { join } from "node:path";
import { expect, test } from "vitest";
import type { LlavaRecord } from "../data/records.js";
import { buildSample, IGNORE_INDEX } from "../data/samples.js";
import { IMAGE_TAG, type Message, templates } from "../language/conversation.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { questionsOf } from "./questions.js";

const tiny = join(import.meta.dirname, "../../goldens/numerics/tokenizer-tiny");
const tokenizer = TextTokenizer.fromFile(join(tiny, "tokenizer.json"));
const imageRef = (key: string) => ({ key });

/** Three questions; the picture is shown in that of this number, none with -1. */
function conversation(shown: number): Message[] {
  return ["Hello there", "What is it", "And now"].flatMap((text, turn): Message[] => [
    { from: "human", value: turn === shown ? `${IMAGE_TAG}\n${text}` : text },
    { from: "gpt", value: `answer ${turn}` },
  ]);
}

const records: [string, LlavaRecord][] = [
  ...[0, 1, 2].map((shown): [string, LlavaRecord] => [
    `a picture in question ${shown}`,
    { id: "r", image: "cat.png", conversations: conversation(shown) },
  ]),
  ["no picture", { id: "r", conversations: conversation(-1) }],
  ["a context", { id: "r", context: "a cat on red", conversations: conversation(-1) }],
];

test.each(
  (["micro", "v1", "smollm2"] as const).flatMap((name) =>
    records.map(([what, record]) => [name, what, record] as const),
  ),
)("a question is asked with the very prompt that its answer was learnt after: %s, %s", (name, _, record) => {
  const template = templates[name];
  const { sample } = buildSample(record, { tokenizer, template, imageTokens: 4, maxLength: 1000, imageRef });
  const learnt = [...sample.labels];
  // An answer begins where a supervised token follows one that is only read.
  const begins = learnt.flatMap((label, at) => (label !== IGNORE_INDEX && learnt[at - 1] === IGNORE_INDEX ? [at] : []));
  const questions = questionsOf(record, tokenizer, template, imageRef);
  expect(questions.map(({ prompt }) => [...prompt.inputIds])).toEqual(
    begins.map((at) => [...sample.inputIds.subarray(0, at)]),
  );
  const shown = record.conversations.findIndex(({ value }) => value.includes(IMAGE_TAG)) / 2;
  expect(questions.map(({ prompt }) => prompt.image?.key)).toEqual(
    [0, 1, 2].map((question) => (shown >= 0 && question >= shown ? "cat.png" : undefined)),
  );
});
