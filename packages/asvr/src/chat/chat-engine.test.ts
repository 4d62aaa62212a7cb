import { memory, noGrad, setThreads, tidy } from "@asvr/torch";
import { afterAll, expect, test, vi } from "vitest";
import { ConfigError, DataError } from "../errors.js";
import { greedyAlone } from "../language/decoding/fixture.js";
import { answerAll, question } from "./answer-all.js";
import { ChatEngine, type ChatEngineOptions } from "./chat-engine.js";
import { type ChatMessage, embedPrompt } from "./chat-model.js";
import { BusyError } from "./chat-service.js";
import { noise, tinyFolder, tinyNextFolder, userSays, wholeAnswer } from "./fixture.js";
import { openChatModel } from "./open.js";

setThreads(1); // test files run side by side
const before = memory().tensors;
const model = await openChatModel(tinyFolder);
const next = await openChatModel(tinyNextFolder);
afterAll(() => {
  model[Symbol.dispose]();
  next[Symbol.dispose]();
  expect(memory().tensors).toBe(before);
});

/** Greedy ids of a conversation by itself, everything read again for every token. */
function idsAlone(messages: readonly ChatMessage[], count: number, asked = model): number[] {
  return noGrad(() =>
    tidy(() => {
      const prompt = asked.prompt(messages);
      const embedded = embedPrompt(
        asked,
        prompt,
        prompt.pictures.map((picture) => asked.see(picture)),
      );
      return greedyAlone(asked.language, [], count, embedded);
    }),
  );
}

function textAlone(messages: readonly ChatMessage[], count: number, asked = model): string {
  const ids = idsAlone(messages, count, asked);
  const end = ids.findIndex((id) => asked.stopIds.includes(id));
  return asked.tokenizer.decode(end < 0 ? ids : ids.slice(0, end), { skipSpecialTokens: true });
}

test("conversations asked at once get the answers that each gets alone", async () => {
  const conversations = [
    userSays("Which is the cat?", noise(1)),
    userSays("Where?", noise(2, 80, 30), noise(1)),
    userSays("Nothing to see."),
    userSays("Which is the dog?", noise(1)),
    [
      ...userSays("Which is the cat?", noise(1)),
      { role: "assistant" as const, content: "This." },
      ...userSays("Sure?"),
    ],
  ];
  using engine = new ChatEngine(model, { maxPromptTokens: 60 });
  const answers = conversations.map((messages) => wholeAnswer(engine.ask(messages, { maxNewTokens: 8 })));
  for (const [index, answer] of (await Promise.all(answers)).entries()) {
    expect(answer.text).toBe(textAlone(conversations[index]!, 8));
    expect(answer.promptTokens).toBe(model.prompt(conversations[index]!).inputIds.length);
  }
  // Once more, from what is kept.
  const again = await wholeAnswer(engine.ask(conversations[4]!, { maxNewTokens: 8 }));
  expect(again.text).toBe(textAlone(conversations[4]!, 8));
});

test("LLaVA-NeXT too", async () => {
  using engine = new ChatEngine(next);
  const messages = userSays("Which?", noise(4, 90, 40));
  const answer = await wholeAnswer(engine.ask(messages, { maxNewTokens: 6 }));
  expect(answer.text).toBe(textAlone(messages, 6, next));
});

test("a picture is looked at once, and what several questions share is read once", async () => {
  const see = vi.spyOn(model, "see");
  const pictures = [noise(7), noise(8)];
  const requests = Array.from({ length: 12 }, (_, index) => ({
    id: `q${index}`,
    messages: [question(`Question ${index}?`, [{ ...pictures[index % 2]! }])], // other objects, the same pixels
    maxNewTokens: 4,
  }));
  const answers = new Map<string, string>();
  for await (const { id, text, reason } of answerAll(model, requests, { maxRunning: 5 })) {
    answers.set(id, text);
    expect(["length", "stop"]).toContain(reason);
  }
  expect(see).toHaveBeenCalledTimes(2);
  see.mockRestore();
  expect(answers.size).toBe(12);
  for (const { id, messages } of requests) expect(answers.get(id)).toBe(textAlone(messages, 4));
});

/** Tokens that the language model reads in all, by the shapes of its inputs. */
async function tokensRead(work: () => Promise<unknown>): Promise<number> {
  const forward = vi.spyOn(model.language.model, "forward");
  await work();
  const count = forward.mock.calls.reduce((sum, [embeddings]) => sum + embeddings.size(1), 0);
  forward.mockRestore();
  return count;
}

test("the next turn of a conversation reads what is new alone", async () => {
  using engine = new ChatEngine(model);
  const first = userSays("Which is the cat?", noise(5));
  const answer = await wholeAnswer(engine.ask(first, { maxNewTokens: 6 }));
  const second = [...first, { role: "assistant" as const, content: answer.text }, ...userSays("Why?")];
  const shared = model.prompt(first).inputIds.length;
  const whole = model.prompt(second).inputIds.length;
  const read = await tokensRead(() => wholeAnswer(engine.ask(second, { maxNewTokens: 1 })));
  expect(read).toBeLessThanOrEqual(whole - shared + 1);
});

test("questions asked in one go read their common beginning once", async () => {
  using engine = new ChatEngine(model);
  const ask = (text: string) => wholeAnswer(engine.ask(userSays(text, noise(6)), { maxNewTokens: 1 }));
  const one = model.prompt(userSays("A1", noise(6))).inputIds.length;
  const read = await tokensRead(() => Promise.all(["A1", "B2", "C3", "D4"].map(ask)));
  expect(read).toBeLessThan(one + 3 * 30);
});

test("an answer ends at a stop text, at its length, when its reader leaves, or when it is told to", async () => {
  using engine = new ChatEngine(model);
  const messages = userSays("Go on.", noise(3));
  const whole = textAlone(messages, 12);
  const stop = whole.slice(4, 7);
  const stopped = await wholeAnswer(engine.ask(messages, { maxNewTokens: 12, stop: [stop] }));
  expect(stopped).toMatchObject({ text: whole.slice(0, whole.indexOf(stop)), reason: "stop" });
  expect(await wholeAnswer(engine.ask(messages, { maxNewTokens: 2 }))).toMatchObject({
    reason: "length",
    answerTokens: 2,
  });
  for await (const event of engine.ask(messages, { maxNewTokens: 100 })) {
    if (event.type === "text") break;
  }
  expect(engine.pending).toBe(0);
  const abort = new AbortController();
  const told = wholeAnswer(engine.ask(messages, { maxNewTokens: 100, signal: abort.signal }));
  abort.abort();
  expect(await told).toMatchObject({ reason: "cancelled" });
  await engine.idle();
  expect(engine.pending).toBe(0);
});

test("what can't be asked is refused at once, with why", async () => {
  using engine = new ChatEngine(model, { maxWaiting: 2 });
  expect(() => engine.ask(userSays("x".repeat(900)))).toThrow(DataError);
  expect(() => engine.ask(userSays("x".repeat(900)))).toThrow(/tokens, and the model reads 256/);
  expect(() => engine.ask(userSays("an <image>"))).toThrow(DataError);
  expect(() => engine.ask(userSays("Hello"), { temperature: -1 })).toThrow(ConfigError);
  const held = [engine.ask(userSays("Hello"), { maxNewTokens: 1 }), engine.ask(userSays("Hello"), { maxNewTokens: 1 })];
  expect(() => engine.ask(userSays("Hello"))).toThrow(BusyError);
  for (const events of held) await wholeAnswer(events);
});

test.each<ChatEngineOptions>([{}, { featureBytes: 0, prefixBytes: 0 }, { featureBytes: 2000, prefixBytes: 200_000 }])(
  "memory is bounded: %j",
  async (options) => {
    const bytes = memory().bytes;
    const tensors = memory().tensors;
    {
      using engine = new ChatEngine(model, options);
      for (let round = 0; round < 3; round++) {
        const asked = Array.from({ length: 5 }, (_, i) =>
          wholeAnswer(engine.ask(userSays(`Which ${i}?`, noise(round * 5 + i)), { maxNewTokens: 3 })),
        );
        await Promise.all(asked);
      }
      const { featureBytes = 2 ** 28, prefixBytes = 2 ** 29 } = options;
      const table = 2 * 256 * 8 * 4; // angles
      expect(memory().bytes - bytes).toBeLessThanOrEqual(featureBytes + prefixBytes + table);
    }
    expect(memory().tensors).toBe(tensors);
  },
);

test("an error of the model reaches those in the step, and the engine goes on", async () => {
  using engine = new ChatEngine(model);
  const broken = vi.spyOn(model.language, "logits").mockImplementationOnce(() => {
    throw new Error("out of memory");
  });
  const [first, second] = ["A", "B"].map((text) => wholeAnswer(engine.ask(userSays(text), { maxNewTokens: 2 })));
  await expect(first).rejects.toThrow("out of memory");
  expect((await second!).text).toBe(textAlone(userSays("B"), 2)); // it waited for their common beginning
  broken.mockRestore();
  await engine.idle();
  expect(engine.pending).toBe(0);
});

test("a text that cannot fit is refused before it is tokenised", () => {
  using engine = new ChatEngine(model);
  const prompt = vi.spyOn(model, "prompt");
  const long = () => engine.ask(userSays("ab ".repeat(400_000), noise(1)));
  expect(long).toThrow(DataError);
  expect(long).toThrow(/has 1200000 letters, more than 256 tokens, and the model reads 256/);
  expect(prompt).not.toHaveBeenCalled();
  prompt.mockRestore();
});
