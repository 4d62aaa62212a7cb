import { expect, test } from "vitest";
import { tinyFolder } from "../../chat/fixture.js";
import { openChatModel } from "../../chat/open.js";
import type { Answer } from "./answerer.js";
import type { Picture } from "./data/table.js";
import { ask, picture } from "./local.fixture.js";
import { localAnswerer } from "./local.js";

test("what the model does not take is refused, each with its reason; all others are answered", async () => {
  using model = await openChatModel(tinyFolder);
  const good = await picture(0);
  const broken: Picture = { key: "broken", bytes: async () => Buffer.from("no picture") };
  const long = `<image>\n${"very ".repeat(200)}long?`;
  const requests = [ask("a", good), ask("b", broken), ask("c", good, long), ask("d", good), ask("e", broken)];
  const answers: Answer[] = [];
  for await (const answer of localAnswerer(model, { name: "tiny" }).answer(requests)) answers.push(answer);
  answers.sort((a, b) => (a.id < b.id ? -1 : 1));
  expect(answers.map(({ id, refused }) => [id, refused])).toEqual([
    ["a", undefined],
    ["b", expect.stringContaining("broken")],
    ["c", expect.stringMatching(/the conversation has \d+ tokens, and the model reads 256/)],
    ["d", undefined],
    ["e", expect.stringContaining("broken")],
  ]);
  expect(answers.map(({ text }) => text !== "")).toEqual([true, false, false, true, false]);
});
