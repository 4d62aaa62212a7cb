import { memory, noGrad, setThreads, type Tensor } from "@asvr/torch";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { NonFiniteError } from "../errors.js";
import { ChatEngine } from "./chat-engine.js";
import type { ChatModel } from "./chat-model.js";
import { noise, tinyFolder, userSays, wholeAnswer } from "./fixture.js";
import type { LlavaChat } from "./llava-chat.js";
import { openChatModel } from "./open.js";

setThreads(1);
const before = memory().tensors;
let model: ChatModel;
beforeEach(async () => {
  model = await openChatModel(tinyFolder);
});
afterEach(() => model[Symbol.dispose]());
afterAll(() => expect(memory().tensors).toBe(before));

function spoil(weight: Tensor): void {
  noGrad(() => weight.select(0, 0).fill_(Number.NaN).dispose());
}

const ask = (engine: ChatEngine, options = {}) =>
  wholeAnswer(engine.ask(userSays("Hello?"), { maxNewTokens: 4, ...options }));

test.each([
  ["greedy", {}],
  ["drawn", { temperature: 1 }],
  ["searched", { beams: { numBeams: 2 } }],
])("a weight that is no number is named, and there is no answer: %s", async (_, options) => {
  using engine = new ChatEngine(model);
  expect((await ask(engine, options)).answerTokens).toBeGreaterThan(0);
  spoil(model.language.lmHead!.weight);
  const failed = ask(engine, options);
  await expect(failed).rejects.toThrow(NonFiniteError);
  await expect(failed).rejects.toThrow(/logits are no numbers.*lm_head\.weight holds \d+ of \d+ values that are NaN/);
  expect(engine.pending).toBe(0);
});

test("infinite logits are none either", async () => {
  using engine = new ChatEngine(model);
  noGrad(() => model.language.lmHead!.weight.mul_(1e38));
  noGrad(() => model.language.lmHead!.weight.mul_(0.9));
  noGrad(() => model.language.model.norm.weight.mul_(1e30));
  await expect(ask(engine)).rejects.toThrow(
    /logits are no numbers \(NaN or infinite\): its weights are numbers: a sum over/,
  );
});

test("a layer that reads none is named", async () => {
  using engine = new ChatEngine(model);
  noGrad(() => model.language.model.embedTokens.weight.mul_(3e38));
  await expect(ask(engine)).rejects.toThrow(/what its layer 0 reads|embed_tokens\.weight holds/);
});

test("a picture in which it sees none fails alone", async () => {
  using engine = new ChatEngine(model);
  spoil((model as LlavaChat).parts.llava.multiModalProjector.parameters()[0]!);
  const withPicture = wholeAnswer(engine.ask(userSays("Which is the cat?", noise(1)), { maxNewTokens: 4 }));
  const [told, text] = await Promise.allSettled([withPicture, ask(engine)]);
  expect(told).toMatchObject({ status: "rejected", reason: { name: "NonFiniteError" } });
  expect(text.status).toBe("fulfilled");
});
