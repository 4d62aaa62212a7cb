import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noGrad, setThreads, tidy } from "@asvr/torch";
import { goldenFiles } from "@asvr/torch/testing";
import { afterAll, expect, test } from "vitest";
import type { RgbImage } from "../data/images.js";
import { DataError } from "../errors.js";
import { embedPrompt } from "./chat-model.js";
import { openChatModel } from "./open.js";

setThreads(1); // test files run side by side
const root = mkdtempSync(join(tmpdir(), "asvr-open-"));
afterAll(() => rmSync(root, { recursive: true }));

const { folder: numerics } = goldenFiles("numerics").find(({ name }) => name === "c_llava")!;
const llava = join(numerics, "hf-llava-tiny");
const next = join(numerics, "hf-llava-next-tiny");

function picture(width: number, height: number): RgbImage {
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, (_, at) => (at * 31) % 256) };
}
const ask = (...pictures: RgbImage[]) => [
  {
    role: "user" as const,
    content: [
      ...pictures.map((image) => ({ type: "image" as const, image })),
      { type: "text" as const, text: "Which is the cat?" },
    ],
  },
];

test("a LLaVA's folder: its template, its picture's tokens, the bos once", async () => {
  using model = await openChatModel(llava);
  const { inputIds, pictures } = model.prompt(ask(picture(50, 30), picture(42, 42)));
  expect(inputIds.filter((id) => id === 480)).toHaveLength(18);
  expect(inputIds.filter((id) => id === 1)).toHaveLength(1);
  expect(inputIds[0]).toBe(1);
  const text = model.tokenizer.decode(inputIds);
  expect(text).toMatch(
    /^<s> ?A chat between .* questions\. USER: ?(<image> ?){9}\n(<image> ?){9}\nWhich is the cat\? ASSISTANT:$/s,
  );
  const states = noGrad(() =>
    tidy(() => {
      const embedded = embedPrompt(
        model,
        { inputIds, pictures },
        pictures.map((seen) => model.see(seen)),
      );
      return model.language.model.forward(embedded).shape;
    }),
  );
  expect(states).toEqual([1, inputIds.length, 32]);
  expect(model.contextLength).toBe(256);
  expect(model.stopIds).toEqual([2]);
});

test("a LLaVA-NeXT's folder: as many tokens as its tiles make", async () => {
  using model = await openChatModel(next);
  const wide = picture(90, 30);
  const { inputIds } = model.prompt(ask(wide));
  const seen = tidy(() => model.see(wide).shape);
  expect(seen).toEqual([inputIds.filter((id) => id === 480).length, 32]);
});

test("what stands for a picture can't be said", async () => {
  using model = await openChatModel(llava);
  const said = [{ role: "user" as const, content: "an <image> of what?" }];
  expect(() => model.prompt(said)).toThrow(/1 place\(s\) for 0 picture\(s\).*can't be said/);
});

test("a token that was added to the tokenizer alone is refused in words", async () => {
  const folder = join(root, "beyond");
  cpSync(llava, folder, { recursive: true });
  const file = join(folder, "tokenizer.json");
  const json = JSON.parse(readFileSync(file, "utf8"));
  json.added_tokens.push({ ...json.added_tokens[0], id: 501, content: "<|far|>" });
  writeFileSync(file, JSON.stringify(json));
  using model = await openChatModel(folder);
  expect(() => model.prompt([{ role: "user", content: "a <|far|> b" }])).toThrow(DataError);
  expect(() => model.prompt([{ role: "user", content: "a <|far|> b" }])).toThrow(
    /the token "<\|far\|>" \(id 501\), but the model has embeddings for 496 tokens/,
  );
  expect(model.prompt([{ role: "user", content: "a far b" }]).inputIds.length).toBeGreaterThan(3);
});

test("paths that are no checkpoint say what they are", async () => {
  await expect(openChatModel(join(root, "nothing"))).rejects.toThrow(/nothing does not exist, and is no hub id/);
  await expect(openChatModel(root)).rejects.toThrow(/neither a config\.json.*nor a recipe\.json/);
  await expect(openChatModel(join(llava, "config.json"))).rejects.toThrow(/is a file: give a GGUF file, or the folder/);
  const other = join(root, "other");
  cpSync(llava, other, { recursive: true });
  writeFileSync(join(other, "config.json"), JSON.stringify({ model_type: "bert" }));
  await expect(openChatModel(other)).rejects.toThrow(/model_type is "bert".*llava, llava_next/);
});
