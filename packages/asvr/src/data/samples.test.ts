import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ConfigError, type DataError } from "../errors.js";
import { micro, plain, v1 } from "../language/conversation.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { packSamples } from "./packing.js";
import type { LlavaRecord } from "./records.js";
import {
  buildSample,
  buildSamples,
  IGNORE_INDEX,
  IMAGE_TOKEN_INDEX,
  imagesIn,
  type SampleOptions,
  sampleLength,
} from "./samples.js";

const numerics = join(process.env.ASVR_GOLDENS ?? join(import.meta.dirname, "../../goldens"), "numerics");
const tokenizer = TextTokenizer.fromFile(join(numerics, "tokenizer-tiny/tokenizer.json"));
const options: SampleOptions = {
  tokenizer,
  template: micro,
  imageTokens: 9,
  maxLength: 200,
  imageRef: (image) => ({ key: image }),
};
const record: LlavaRecord = {
  id: "r",
  image: "cat.png",
  conversations: [
    { from: "human", value: "<image>\nWhat is it?" },
    { from: "gpt", value: "A cat." },
    { from: "human", value: "Which color?" },
    { from: "gpt", value: "Green." },
  ],
  type: "open",
};

function faultOf(build: () => unknown): string | undefined {
  try {
    build();
  } catch (error) {
    return (error as DataError).faults[0]?.kind;
  }
  return undefined;
}

test("supervises the answers and what ends them, nothing else", () => {
  const { sample, isCut } = buildSample(record, options);
  expect(sample).toMatchObject({ id: "r", image: { key: "cat.png" }, type: "open" });
  expect(isCut).toBe(false);
  expect(sample.inputIds[1]).toBe(IMAGE_TOKEN_INDEX);
  const learnt = sample.labels.filter((label) => label !== IGNORE_INDEX);
  expect(tokenizer.decode(learnt)).toBe("A cat.</s> Green.</s>");
  expect(sampleLength(sample, options.imageTokens)).toBe(sample.inputIds.length + 8);
});

describe("length", () => {
  const { sample } = buildSample(record, options);
  const full = sampleLength(sample, 9);

  test("is counted with the visual tokens", () => {
    expect(buildSample(record, { ...options, maxLength: full }).isCut).toBe(false);
    expect(() => buildSample(record, { ...options, maxLength: full - 1 })).toThrow(
      `too-long: ${full} tokens (9 of them the picture's) are over ${full - 1}. Raise maxLength, shorten the record`,
    );
    const tiled = { ...options, imageTokens: () => 100, maxLength: full + 91 };
    expect(buildSample(record, tiled).isCut).toBe(false);
  });

  test("cutting takes text from the end", () => {
    const { sample: short, isCut } = buildSample(record, { ...options, maxLength: full - 3, whenTooLong: "cut" });
    expect(isCut).toBe(true);
    expect(short.inputIds).toEqual(sample.inputIds.subarray(0, -3));
    expect(short.labels).toEqual(sample.labels.subarray(0, -3));
  });

  test("a picture is never cut, nor a sample left without an answer", () => {
    const cut = (maxLength: number, template = options.template) =>
      faultOf(() => buildSample(record, { ...options, template, maxLength, whenTooLong: "cut" }));
    expect(cut(9)).toBe("too-long"); // the bos and 8 of 9 visual tokens
    expect(cut(10)).toBe("no-target"); // the bos and the picture
    expect(cut(20, v1)).toBe("too-long"); // ends before the picture begins
    expect(cut(full - 3)).toBeUndefined();
  });
});

test("a picture and its tag need one another", () => {
  const [question, answer] = record.conversations as [{ from: "human"; value: string }, { from: "gpt"; value: string }];
  const kind = (changes: Partial<LlavaRecord>, template = v1) =>
    faultOf(() => buildSample({ ...record, ...changes }, { ...options, template }));
  expect(kind({ image: undefined })).toBe("image-token-without-image");
  expect(kind({ conversations: [{ ...question, value: "What?" }, answer] })).toBe("image-token-missing");
  expect(kind({ conversations: [question, answer, question, answer] })).toBe("image-token-doubled");
});

test("pictures of a folder are named by their real path", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "asvr-samples-")));
  afterAll(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "cat.png"), "");
  const { sample } = buildSample(record, { ...options, imageRef: imagesIn(folder) });
  expect(sample.image).toEqual({ key: join(folder, "cat.png") });
  const outside = { ...record, image: "../cat.png" };
  expect(faultOf(() => buildSample(outside, { ...options, imageRef: imagesIn(folder) }))).toBe("path-escape");
  expect(() => buildSample(record, { ...options, imageRef: undefined })).toThrow(ConfigError);
});

test("questions about one text share it in packing, and it is read, not learnt", () => {
  const about = (id: string, question: string, answer: string): LlavaRecord => ({
    id,
    context: "two cats",
    conversations: [
      { from: "human", value: question },
      { from: "gpt", value: answer },
    ],
  });
  const records = [about("a", "How many?", "2"), about("b", "Of what?", "cats")];
  const { samples } = buildSamples(records, { ...options, file: "text.json" });
  const batch = packSamples(samples, { capacity: 200, imageTokens: 9, compact: true });
  const prefix = [1, ...tokenizer.encode("two cats")];
  const [first, second] = samples.map(({ inputIds }) => inputIds) as [Int32Array, Int32Array];
  const shared = first.findIndex((id, entry) => id !== second[entry]); // the questions begin alike, too
  expect(shared).toBeGreaterThan(prefix.length);
  expect([...batch.segments].filter((segment) => segment === 0)).toHaveLength(shared);
  expect([...batch.inputIds.subarray(0, shared)]).toEqual([...prefix, ...first.subarray(prefix.length, shared)]);
  expect(tokenizer.decode(batch.targets.ids)).toBe("2</s> cats</s>");
});

describe("many records", () => {
  const silent: LlavaRecord = {
    id: "silent",
    conversations: [
      { from: "human", value: "Hm?" },
      { from: "gpt", value: "" },
    ],
  };

  test("faults are counted and named; cut samples too", () => {
    const caption = { ...record, id: "two captions" };
    const { samples, faults, cut } = buildSamples([record, silent], {
      ...options,
      maxLength: 60,
      whenTooLong: "cut",
      file: "train.json",
      maxBad: 1,
    });
    expect(samples.map(({ id }) => id)).toEqual(["r"]);
    expect(cut).toEqual(["r"]);
    expect(faults).toMatchObject([{ file: "train.json", index: 1, kind: "no-target" }]);
    const turns = buildSamples([caption], { ...options, template: plain, file: "train.json", maxBad: 1 });
    expect(turns.faults).toMatchObject([{ kind: "turn-order", message: expect.stringContaining("takes 1") }]);
  });

  test("more faults than maxBad stop", () => {
    expect(() => buildSamples([record, silent], { ...options, file: "train.json" })).toThrow(
      /1 of 2 records of train.json are bad[\s\S]*train.json\[1\].conversations: no-target: record silent: it has no answer/,
    );
  });
});
