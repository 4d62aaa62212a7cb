import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildMicroWorld, type MicroProgress } from "./build.js";
import type { MicroManifest } from "./manifest.js";
import type { CaptionRecord, EncoderRecord, QuestionRecord, RetellingRecord, TextQuestionRecord } from "./records.js";
import { THINGS, type ThingsName } from "./things.js";

const sizes = { encoder: 12, text: 7, train: 10, test: 6, novel: 5 };
const phases: MicroProgress[] = [];
let root: string;
let world: string;
let manifest: MicroManifest;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "asvr-micro-"));
  world = join(root, "world");
  manifest = await buildMicroWorld({ out: world, seed: 3, sizes, onProgress: (progress) => phases.push(progress) });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const readJson = async <T>(name: string) => JSON.parse(await readFile(join(world, name), "utf8")) as T;

async function filesOf(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hash = async (path: string) =>
    createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
  return new Map(
    await Promise.all(
      paths.sort().map(async (path) => [path.slice(folder.length + 1), await hash(path)] as [string, string]),
    ),
  );
}

test("the same seed gives the same bytes, another seed other ones", async () => {
  const files = await filesOf(world);
  await buildMicroWorld({ out: join(root, "same"), seed: 3, sizes });
  expect(await filesOf(join(root, "same"))).toEqual(files);
  await buildMicroWorld({ out: join(root, "same"), seed: 4, sizes });
  const others = await filesOf(join(root, "same"));
  expect(others.get("tuning.json")).not.toBe(files.get("tuning.json"));
  expect(others.get("images/train/000000.png")).not.toBe(files.get("images/train/000000.png"));
});

test("the standard world is what it has always been: no change to a seed's words or pictures goes unseen", async () => {
  const files = [...(await filesOf(world))].filter(([name]) => name !== "manifest.json"); // names versions of packages
  const digest = (isOf: (name: string) => boolean) => {
    const lines = files.filter(([name]) => isOf(name)).map((line) => line.join(" "));
    return createHash("sha256").update(lines.join("\n")).digest("hex");
  };
  expect({
    words: digest((name) => !name.startsWith("images")),
    pictures: digest((name) => name.startsWith("images")),
  }).toEqual({
    words: "159fde26d57b0a634db5472c5ffd7330dbb14486fa8648dbcf433fbbcd1a115f",
    pictures: "5a7e2c6c8b11d1746e690c72741f101cc0704c57c47515d0073bb99990e64585",
  });
  expect(manifest.things).toBe("standard");
});

test("a larger world begins with the smaller one's pictures", async () => {
  await buildMicroWorld({ out: join(root, "larger"), seed: 3, sizes: { ...sizes, train: 13 } });
  const larger = await filesOf(join(root, "larger"));
  for (const [path, hash] of await filesOf(world)) {
    if (path.startsWith("images/")) expect(larger.get(path)).toBe(hash);
  }
});

test("every file is there and is what the manifest says", async () => {
  const files = await filesOf(world);
  for (const [name, hash] of Object.entries(manifest.sha256)) expect(files.get(name)).toBe(hash);
  expect(Object.keys(manifest.sha256).sort()).toEqual(
    [...files.keys()].filter((name) => !name.startsWith("images") && name !== "manifest.json"),
  );
  expect(await readJson("manifest.json")).toEqual(manifest);
  expect(await readdir(root)).not.toContainEqual(expect.stringContaining("partial"));
  expect(phases.at(-1)).toEqual({ phase: "text", done: 7, total: 7 });
});

test("pictures are 56 x 56 RGB files, and every record's picture exists", async () => {
  const records = await Promise.all(
    ["encoder", "captions", "tuning", "test-seen", "test-novel"].map((name) =>
      readJson<CaptionRecord[]>(`${name}.json`),
    ),
  );
  const images = new Set(records.flat().map(({ image }) => image));
  expect(images.size).toBe(12 + 10 + 6 + 5);
  for (const image of images) {
    const { width, height, channels, depth, format } = await sharp(join(world, image)).metadata();
    expect({ width, height, channels, depth, format }).toEqual({
      width: 56,
      height: 56,
      channels: 3,
      depth: "uchar",
      format: "png",
    });
  }
});

test("records have the shapes of LLaVA, ids are unique", async () => {
  const tuning = await readJson<QuestionRecord[]>("tuning.json");
  expect(tuning).toHaveLength(10 * 8);
  expect(new Set(tuning.map(({ id }) => id)).size).toBe(80);
  for (const { conversations } of tuning) {
    expect(conversations.map(({ from }) => from)).toEqual(["human", "gpt"]);
    expect(conversations[0].value).toMatch(/^<image>\n[a-z -]+ \?$/);
  }
  const [caption] = await readJson<CaptionRecord[]>("captions.json");
  expect(caption!.conversations[0].value).toBe("<image>");
});

test("a cell's record lies on the patches and has the cell's captions", async () => {
  const records = await readJson<EncoderRecord[]>("encoder.json");
  const cells = records.filter(({ region }) => region);
  expect(records.length - cells.length).toBe(12);
  for (const { region, captions, image } of cells) {
    expect(region!.map((value) => value % 14)).toEqual([0, 0, 0, 0]);
    const scene = records.find((record) => record.image === image && !record.region)!;
    for (const caption of captions) expect(scene.captions[0]).toContain(caption);
  }
});

test("a text scene is its caption told again, then eight questions, all with the caption as context", async () => {
  const records = await readJson<(RetellingRecord | TextQuestionRecord)[]>("text.json");
  expect(records).toHaveLength(7 * 9);
  const phrases = (caption: string) => caption.split(" , ").sort();
  records.forEach((record, i) => {
    const { context, conversations } = records[i - (i % 9)]!;
    expect(record.context).toBe(context);
    if (i % 9 === 0) expect([conversations[0].value, phrases(conversations[1].value)]).toEqual(["", phrases(context)]);
    expect(JSON.stringify(record)).not.toContain("<image>");
  });
});

test("the written tokenizer reads back: one token a word", async () => {
  const tokenizer = new Tokenizer(await readJson("tokenizer.json"), await readJson("tokenizer_config.json"));
  for (const { conversations } of await readJson<CaptionRecord[]>("captions.json")) {
    const caption = conversations[1].value;
    const { ids } = tokenizer.encode(caption, { add_special_tokens: false });
    expect(ids).toHaveLength(caption.split(" ").length);
    expect(tokenizer.decode(ids)).toBe(caption);
  }
});

test("a rich world has the rich things in its scenes, its words and its manifest", async () => {
  const { things, concepts } = await buildMicroWorld({ out: join(root, "rich"), seed: 3, things: "rich", sizes });
  expect(things).toBe("rich");
  expect(concepts.map(({ label, kind }) => [label, kind])).toEqual(
    THINGS.rich.concepts.map((concept) => [concept, THINGS.rich.kindOf(concept)]),
  );
  const read = async <T>(name: string) => JSON.parse(await readFile(join(root, "rich", name), "utf8")) as T;
  const tokenizer = new Tokenizer(await read("tokenizer.json"), await read("tokenizer_config.json"));
  const captions = (await read<CaptionRecord[]>("captions.json")).map(({ conversations }) => conversations[1].value);
  for (const caption of captions) {
    const { ids } = tokenizer.encode(caption, { add_special_tokens: false });
    expect(ids).toHaveLength(caption.split(" ").length);
  }
  const newWords: readonly string[] = THINGS.rich.concepts.filter(
    (concept) => !THINGS.standard.concepts.includes(concept),
  );
  expect(
    captions
      .join(" ")
      .split(" ")
      .filter((word) => newWords.includes(word)).length,
  ).toBeGreaterThan(3);
});

test("a folder that holds something else is refused and kept", async () => {
  const other = join(root, "other");
  await mkdir(other);
  await writeFile(join(other, "thesis.txt"), "mine");
  await expect(buildMicroWorld({ out: other, seed: 3, sizes })).rejects.toThrow(`${other} is not empty`);
  expect(await readFile(join(other, "thesis.txt"), "utf8")).toBe("mine");
});

test("a size that is no whole number, and things that there are not, are refused by name and value", async () => {
  await expect(buildMicroWorld({ out: world, seed: 3, sizes: { train: 2.5 } })).rejects.toThrow("sizes.train is 2.5");
  await expect(buildMicroWorld({ out: world, seed: 3, questionsPerImage: 99 })).rejects.toThrow("is 99");
  const things = "poor" as ThingsName;
  await expect(buildMicroWorld({ out: world, seed: 3, things })).rejects.toThrow('"poor"; it must be standard or rich');
});
