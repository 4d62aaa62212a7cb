import { memory } from "@asvr/torch";
import { expect, test } from "vitest";
import { tinyFolder } from "../../chat/fixture.js";
import { openChatModel } from "../../chat/open.js";
import { ask, picture } from "./local.fixture.js";
import { localAnswerer } from "./local.js";

test("a thousand questions and more leave as many tensors as before, batch by batch", async () => {
  using model = await openChatModel(tinyFolder);
  const answerer = localAnswerer(model, { name: "tiny" });
  const before = memory().tensors;
  let most = 0;
  for (let batch = 0; batch < 8; batch++) {
    const pictures = await Promise.all(Array.from({ length: 32 }, (_, index) => picture(100 * batch + index)));
    const requests = pictures.flatMap((shown, at) => [0, 1, 2, 3].map((question) => ask(`${at}.${question}`, shown)));
    let answered = 0;
    for await (const { refused } of answerer.answer(requests)) {
      expect(refused).toBeUndefined();
      answered++;
      most = Math.max(most, memory().tensors);
    }
    expect(answered).toBe(128);
    expect(memory().tensors, `after batch ${batch}`).toBe(before);
  }
  // Features and keys of pictures that were seen are kept within a batch: some for each question, not some for each token.
  expect(most - before).toBeLessThan(10 * 128);
});
