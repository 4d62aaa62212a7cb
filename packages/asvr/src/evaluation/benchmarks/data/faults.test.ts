import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { expect, test } from "vitest";
import { benchmarkNamed } from "../all.js";
import { benchmarkFolder } from "../folder.fixture.js";
import { type LoadBenchmarkOptions, loadBenchmark, missingFrom } from "./load.js";

const { path } = benchmarkFolder();
let copies = 0;

/** A copy of one benchmark's fixture that a test may spoil. */
function copy(hub: string): string {
  const folder = path(`copy${copies++}`);
  cpSync(path("data", hub), `${folder}/${hub}`, { recursive: true });
  return folder;
}
const load = (name: string, folder: string, options?: LoadBenchmarkOptions) =>
  loadBenchmark(benchmarkNamed(name), folder, options);

test("a shard that is missing is named, with the rows that are there", async () => {
  const folder = copy("lmms-lab/textvqa");
  rmSync(`${folder}/lmms-lab/textvqa/data/validation-00001-of-00002.parquet`);
  const { coverage } = await load("textvqa", folder);
  expect(missingFrom(coverage)).toEqual([
    "6 rows instead of 5000",
    "1 files are missing: validation-00001-of-00002.parquet",
  ]);
});

test("data is found under its hub id, its last part, the benchmark's name, a cache, and flat", async () => {
  const shard = path("data/lmms-lab/POPE/data/test-00000-of-00001.parquet");
  const places = [
    "POPE/data/test-00000-of-00001.parquet",
    "pope/test-00000-of-00001.parquet",
    "datasets--lmms-lab--POPE/snapshots/0123abc/data/test-00000-of-00001.parquet",
    "lmms-lab-encoder/POPE/test-00000-of-00001.parquet",
    "test-00000-of-00001.parquet",
    "pope/default/test/0000.parquet",
  ];
  for (const [at, place] of places.entries()) {
    const folder = path(`place${at}`);
    mkdirSync(dirname(`${folder}/${place}`), { recursive: true });
    cpSync(shard, `${folder}/${place}`);
    expect((await load("pope", folder)).questions.length).toBe(18);
  }
  await expect(load("realworldqa", path("data/lmms-lab"))).resolves.toMatchObject({ split: "test" });
  await expect(load("realworldqa", path("place0"))).rejects.toThrow("no files of split test");
  await expect(load("pope", path("place4"), { flat: false })).rejects.toThrow("no files of split test");
  mkdirSync(path("empty"));
  await expect(load("pope", path("empty"))).rejects.toThrow(/pope: no files of split test .* lmms-lab\/POPE there\./);
  await expect(load("pope", path("nowhere"))).rejects.toThrow("nowhere does not exist");
});

test("a cache's pictures are links to files beside its snapshots, and no others are followed", async () => {
  const cache = path("cache/datasets--MMVP--MMVP");
  const snapshot = `${cache}/snapshots/0123abc`;
  mkdirSync(`${snapshot}/MMVP Images`, { recursive: true });
  mkdirSync(`${cache}/blobs`);
  cpSync(path("data/MMVP/MMVP/Questions.csv"), `${snapshot}/Questions.csv`);
  for (let index = 1; index <= 8; index++) {
    cpSync(path(`data/MMVP/MMVP/MMVP Images/${index}.jpg`), `${cache}/blobs/${index}`);
    symlinkSync(`../../../blobs/${index}`, `${snapshot}/MMVP Images/${index}.jpg`);
  }
  const { questions } = await load("mmvp", path("cache"));
  expect((await questions[0]!.pictures[0]!.bytes()).length).toBeGreaterThan(100);
  rmSync(`${snapshot}/MMVP Images/8.jpg`);
  symlinkSync(path("data/MMVP/MMVP/MMVP Images/8.jpg"), `${snapshot}/MMVP Images/8.jpg`);
  await expect(load("mmvp", path("cache"))).rejects.toThrow("symlink-escape");
});

test("a file that breaks off is said to", async () => {
  const folder = copy("lmms-lab/ai2d");
  const file = `${folder}/lmms-lab/ai2d/data/test-00000-of-00001.parquet`;
  truncateSync(file, 400);
  await expect(load("ai2d", folder)).rejects.toThrow(/test-00000-of-00001\.parquet: truncated-file: .*Fetch it again/);
});

test("JSON Lines and a folder of pictures are read too, and each bad row is named", async () => {
  const folder = path("jsonl");
  mkdirSync(`${folder}/pope/images`, { recursive: true });
  cpSync(path("data/MMVP/MMVP/MMVP Images/1.jpg"), `${folder}/pope/images/1.jpg`);
  const row = (id: number, more: object = {}) =>
    JSON.stringify({
      question_id: id,
      question: `Is there ${id}?`,
      answer: "yes",
      category: "random",
      image_source: "one",
      image: "images/1.jpg",
      ...more,
    });
  const file = `${folder}/pope/test.jsonl`;
  writeFileSync(file, [row(1), row(2)].join("\n"));
  const good = await load("pope", folder);
  expect(good.questions.map(({ id }) => id)).toEqual(["random-1", "random-2"]);
  expect((await good.questions[0]!.pictures[0]!.bytes()).length).toBeGreaterThan(100);

  const bad = [
    row(1),
    row(1),
    row(2, { answer: "maybe" }),
    row(3, { image: "images/2.jpg" }),
    row(4, { question: "" }),
  ];
  writeFileSync(file, bad.join("\n"));
  await expect(load("pope", folder)).rejects.toThrow(/4 of 5 rows of POPE are bad/);
  await expect(load("pope", folder)).rejects.toThrow(/test\.jsonl\[1\]\.id: duplicate-id/);
  await expect(load("pope", folder)).rejects.toThrow(/test\.jsonl\[2\]\.answer: wrong-shape/);
  await expect(load("pope", folder)).rejects.toThrow(/test\.jsonl\[3\]\.image: missing-image/);
  const { coverage, questions } = await load("pope", folder, { maxBad: 4 });
  expect(questions.length).toBe(1);
  expect(missingFrom(coverage)).toEqual([
    "5 rows instead of 9000",
    "1 rows without their picture",
    "3 faulty rows left out",
  ]);
  writeFileSync(file, row(1, { image: "../../data/x.png" }));
  await expect(load("pope", folder)).rejects.toThrow("path-escape");
  writeFileSync(file, row(1).replace("image_source", "picture_source"));
  const withIndex = row(1, { index: 1 }).replace("image_source", "source"); // VLMEvalKit's columns
  await expect(load("pope", folder)).rejects.toThrow(/columns of POPE are missing: (image_source|index); there are/);
  writeFileSync(file, withIndex);
  expect((await load("pope", folder)).questions[0]!.id).toBe("1");
});

test("pictures that a CSV or a join names and nobody has are counted", async () => {
  const folder = copy("MMVP/MMVP");
  rmSync(`${folder}/MMVP/MMVP/MMVP Images/3.jpg`);
  await expect(load("mmvp", folder)).rejects.toThrow(
    /1 of 8 rows of MMVP are bad.*\n.*Questions\.csv\[2\]\.image: missing-image/,
  );
  expect((await load("mmvp", folder, { maxBad: 1 })).coverage.missingPictures).toBe(1);
  const gqa = copy("lmms-lab/GQA");
  rmSync(`${gqa}/lmms-lab/GQA/testdev_balanced_images`, { recursive: true });
  await expect(load("gqa", gqa)).rejects.toThrow("9 of 9 rows of GQA are bad");
});

test("pairs must be whole", async () => {
  const folder = copy("MMVP/MMVP");
  const file = `${folder}/MMVP/MMVP/Questions.csv`;
  writeFileSync(file, readFileSync(file, "utf8").split("\n").slice(0, 8).join("\n"));
  await expect(load("mmvp", folder)).rejects.toThrow("1 of 4 groups do not have 2 questions; 4 has 1");
});

test("rows of a table with too few fields are named", async () => {
  const folder = copy("lmms-lab/MMBench_EN");
  const file = `${folder}/lmms-lab/MMBench_EN/MMBench_DEV_EN.tsv`;
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/\tdev\n$/, "\n"));
  await expect(load("mmbench", folder)).rejects.toThrow(
    /MMBench_DEV_EN\.tsv\[8\]: wrong-shape: it has 12 fields, the header 13/,
  );
  writeFileSync(file, `\ufeff${text}`);
  const { questions } = await load("mmbench", folder);
  const [first] = questions;
  expect(Buffer.from(await first!.pictures[0]!.bytes()).toString("latin1", 1, 4)).toBe("PNG");
  expect(questions.filter(({ cluster }) => cluster === first!.cluster).map(({ pictures }) => pictures[0]!.key)).toEqual(
    Array(4).fill(first!.pictures[0]!.key),
  );
});

test("a limit keeps rotations and pairs whole, and is said", async () => {
  const { questions, coverage } = await load("mmbench", path("data"), { limit: 2 });
  expect(questions.map(({ id }) => id)).toEqual(["200", "1000200", "2000200", "3000200"]);
  expect(missingFrom(coverage)).toContain("only 4 questions were asked for");
  expect((await load("mme", path("data"), { limit: 3 })).questions.length).toBe(4);
});

test("another split without answers can be asked", async () => {
  const folder = copy("lmms-lab/DocVQA");
  const file = `${folder}/lmms-lab/DocVQA/DocVQA/validation-00000-of-00001.parquet`;
  renameSync(file, file.replace(basename(file), "test-00000-of-00001.parquet"));
  await expect(load("docvqa", folder)).rejects.toThrow("no files of split validation");
  const { coverage } = await load("docvqa", folder, { split: "test" });
  expect(coverage.expected).toBe(5188);
  await expect(load("docvqa", folder, { split: "train" })).rejects.toThrow(
    'no split "train" here; it must be validation or test',
  );
});
