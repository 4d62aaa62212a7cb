import { readFileSync } from "node:fs";
import { join } from "node:path";
import { goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { promptOf, supervisedSpans } from "./conversation.fixture.js";
import { encodeSpans, type Message, renderConversation, templates, v1 } from "./conversation.js";
import { TextTokenizer } from "./tokenizer.js";

type Legacy = "legacy_false" | "legacy_true";

interface Encoded {
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
  readonly supervised_char_spans: readonly (readonly [number, number])[];
}
interface Case extends Readonly<Record<Legacy, Encoded>> {
  readonly template: "plain" | "v1";
  readonly label: string;
  readonly conversations: readonly Message[];
  readonly prompt: string;
}
interface Sidecar {
  readonly cases: readonly Case[];
  /** Longer than the tokenizer's limit, which is what `input_ids` has. */
  readonly truncated?: Case;
  readonly inference?: readonly {
    readonly turns: readonly (string | null)[];
    readonly prompt: string;
    readonly input_ids: Readonly<Record<Legacy, readonly number[]>>;
  }[];
}

goldenFamily<unknown, Sidecar>("j_conversations", ({ folder, sidecar }) => {
  const { cases, truncated, inference = [] } = sidecar;
  for (const [legacy, tokenizer] of tokenizersOf(join(folder, "tokenizer-tiny"))) {
    for (const { template, label, conversations, prompt, [legacy]: want } of cases) {
      const spans = renderConversation(templates[template], conversations);
      expect(promptOf(spans), label).toBe(prompt);
      const { inputIds, labels } = encodeSpans(tokenizer, spans);
      expect(inputIds, label).toEqual(want.input_ids);
      if (want.supervised_char_spans.length > 0) {
        expect(labels, label).toEqual(want.labels);
        expect(supervisedSpans(spans), label).toEqual(want.supervised_char_spans);
      } else {
        // The release gave the sample up, or it has no answer: then ours supervises the answers and nothing else. One
        // before the first question is none: both leave it out.
        const answers = conversations.filter(({ from, value }, turn) => turn > 0 && from === "gpt" && value !== "");
        expect(supervisedSpans(spans), label).toHaveLength(answers.length);
      }
    }
    if (truncated) {
      const { input_ids, labels } = truncated[legacy];
      const whole = encodeSpans(tokenizer, renderConversation(templates[truncated.template], truncated.conversations));
      expect(whole.inputIds.slice(0, input_ids.length), truncated.label).toEqual(input_ids);
      expect(whole.labels.slice(0, labels.length), truncated.label).toEqual(labels);
    }
    for (const { turns, prompt, input_ids } of inference) {
      const messages = turns.flatMap((value, index): Message[] =>
        value === null ? [] : [{ from: index % 2 === 0 ? "human" : "gpt", value }],
      );
      const spans = renderConversation(v1, messages);
      expect(promptOf(spans)).toBe(prompt);
      expect(encodeSpans(tokenizer, spans).inputIds).toEqual(input_ids[legacy]);
    }
  }
});

/** Of both settings, as `tokenizer.json` and as SentencePiece's own file. */
function tokenizersOf(folder: string): [Legacy, TextTokenizer][] {
  const config = JSON.parse(readFileSync(join(folder, "tokenizer_config.json"), "utf8"));
  const model = readFileSync(join(folder, "tokenizer.model"));
  return [
    ["legacy_false", TextTokenizer.fromFile(join(folder, "tokenizer.json"))],
    ["legacy_true", TextTokenizer.fromFile(join(folder, "tokenizer_prepend.json"))],
    ["legacy_false", TextTokenizer.fromSentencePiece(model, { ...config, legacy: false })],
    ["legacy_true", TextTokenizer.fromSentencePiece(model, { ...config, legacy: true })],
  ];
}
