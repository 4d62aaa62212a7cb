import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { templates } from "../language/conversation.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { buildTokenizer, buildTokenizerConfig } from "../micro/tokenizer.js";
import { readDataset } from "./dataset.js";
import { decodeImage } from "./images.js";

const root = realpathSync(mkdtempSync(join(tmpdir(), "asvr-dataset-")));
afterAll(() => rmSync(root, { recursive: true }));
const imagesFolder = join(root, "images");
const file = join(root, "records.json");
beforeAll(async () => {
  mkdirSync(imagesFolder);
  const picture = await sharp({ create: { width: 5, height: 3, channels: 3, background: "#123" } })
    .png()
    .toBuffer();
  for (const name of ["cat.png", "dog.png"]) writeFileSync(join(imagesFolder, name), picture);
  writeFileSync(join(imagesFolder, "page.png"), "<html>404</html>");
});

const tokenizer = new TextTokenizer(buildTokenizer(), buildTokenizerConfig());
const samples = { tokenizer, template: templates.micro, imageTokens: 16, maxLength: 60 };

let count = 0;
const record = (image: string | undefined, answer = "yes") => ({
  id: `r${count++}`,
  ...(image && { image }),
  conversations: [
    { from: "human", value: image ? "<image>\nany dog ?" : "any dog ?" },
    { from: "gpt", value: answer },
  ],
});

test("every picture is looked at once; a broken one is a fault of each record that shows it", async () => {
  const records = [
    record("cat.png"),
    record("page.png"),
    record(undefined),
    record("none.png"),
    record("page.png", "yes ".repeat(70)),
    record("cat.png"),
    record("dog.png"),
  ];
  writeFileSync(file, JSON.stringify(records));
  const seen: string[] = [];
  const dataset = await readDataset(file, {
    imagesFolder,
    samples,
    lookAt: async (path) => {
      seen.push(path);
      await decodeImage(path);
    },
  });
  expect(seen.sort()).toEqual(["cat.png", "dog.png", "page.png"].map((name) => join(imagesFolder, name)));
  expect(dataset.faults.map(({ index, field, kind }) => ({ index, field, kind }))).toEqual([
    { index: 1, field: "image", kind: "not-an-image" },
    { index: 3, field: "image", kind: "missing-image" },
    { index: 4, field: "conversations", kind: "too-long" },
    { index: 4, field: "image", kind: "not-an-image" },
  ]);
  expect(dataset.total).toBe(7);
  expect(dataset.records.map(({ id }) => id)).toEqual([0, 2, 5, 6].map((index) => records[index]!.id));
  expect(dataset.samples.map(({ id }) => id)).toEqual(dataset.records.map(({ id }) => id));
  expect(dataset.pictures).toEqual(["cat.png", "dog.png"].map((name) => join(imagesFolder, name)));
});

test("an error that is no fault of the data ends it", async () => {
  writeFileSync(file, JSON.stringify([record("cat.png")]));
  const lookAt = () => Promise.reject(new Error("the disk is on fire"));
  await expect(readDataset(file, { imagesFolder, samples, lookAt })).rejects.toThrow("on fire");
});
