import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";
import { expect, test } from "vitest";
import { benchmarkNamed } from "../all.js";
import { benchmarkFolder } from "../folder.fixture.js";
import { type LoadBenchmarkOptions, loadBenchmark, missingFrom } from "./load.js";

/** A small picture, longer than the shortest text that is taken for base64. */
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAwAAAAICAIAAABChommAAAACXBIWXMAAAPoAAAD6AG1e1JrAAAADklEQVQYlWNgGAUMRAAAASgAAbx5uVgAAAAASUVORK5CYII=",
  "base64",
);
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

const mmbenchHeader = "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\tsplit";
const png = PNG.toString("base64");

/** An MMBench of these rows: index, question and picture of each. */
function mmbenchOf(rows: readonly (readonly [index: string, question: string, image: string])[]) {
  const lines = rows.map(([index, question, image]) => `${index}\t${question}\t\tx\ty\t\t\tA\tc\t${image}\ts\tl\tdev`);
  return tableFile([mmbenchHeader, ...lines].join("\n"));
}

function tableFile(content: string | Uint8Array): string {
  const folder = path(`table${copies++}`);
  mkdirSync(`${folder}/mmbench`, { recursive: true });
  writeFileSync(`${folder}/mmbench/MMBench_DEV_EN.tsv`, content);
  return folder;
}

test("a picture may stand in a later row, at the end of a chain of references", async () => {
  const folder = mmbenchOf([
    ["1", "a", "2"],
    ["2", "b", "3.0"],
    ["3.0", "c", png],
  ]);
  const { questions } = await load("mmbench", folder);
  expect(questions.map(({ id }) => id)).toEqual(["1", "2", "3"]);
  expect(new Set(questions.map(({ pictures }) => pictures[0]!.key)).size).toBe(1);
  for (const { pictures } of questions) expect(Buffer.from(await pictures[0]!.bytes())).toEqual(PNG);
});

test("a reference that leads nowhere, or in a circle, is named", async () => {
  const folder = mmbenchOf([
    ["1", "a", "7"],
    ["2", "b", "4"],
    ["4", "c", "2"],
  ]);
  await expect(load("mmbench", folder)).rejects.toThrow(/\[0\]\.image: missing-image: .*"7", and there is no such row/);
  await expect(load("mmbench", folder)).rejects.toThrow(/\[1\]\.image: missing-image: .* leads back to itself/);
});

test("quotes that nobody escaped are text", async () => {
  const texts = [`"Right" is which one?`, `Which one is "right"?`, `Is it 5" or 6"?`];
  const folder = mmbenchOf(texts.map((text, at) => [String(at), text, png] as const));
  const { questions } = await load("mmbench", folder);
  expect(questions.map(({ question }) => (question as { question: string }).question)).toEqual(texts);
  expect(Buffer.from(await questions[2]!.pictures[0]!.bytes())).toEqual(PNG);
});

test("a data URL is the picture that it holds", async () => {
  const { questions } = await load("mmbench", mmbenchOf([["1", "a", `data:image/png;base64,${png}`]]));
  expect(Buffer.from(await questions[0]!.pictures[0]!.bytes())).toEqual(PNG);
});

test("a table that is not UTF-8 is refused with its line, never read with signs replaced", async () => {
  const lines = [mmbenchHeader, `1\tcaf\xe9?\t\tx\ty\t\t\tA\tc\t${png}\ts\tl\tdev`].join("\n");
  await expect(load("mmbench", tableFile(Buffer.from(lines, "latin1")))).rejects.toThrow(
    /MMBench_DEV_EN\.tsv: invalid-utf8: it is not UTF-8: see line 2\. Save it as UTF-8/,
  );
  const utf16 = Buffer.from(`\ufeff${lines}`, "utf16le");
  await expect(load("mmbench", tableFile(utf16))).rejects.toThrow("invalid-utf8: it is UTF-16");
  const folder = path("latin1");
  mkdirSync(`${folder}/pope`, { recursive: true });
  writeFileSync(`${folder}/pope/test.jsonl`, Buffer.from('{"question":"caf\xe9?"}', "latin1"));
  await expect(load("pope", folder)).rejects.toThrow("test.jsonl[0]: invalid-utf8");
});

const popeRow = { question_id: "0", question: "Is there a dog?", answer: "no", image_source: "s", category: "random" };

function parquetFolder(benchmark: string, name: string, columns: ColumnSource[]): string {
  const folder = path(`parquet${copies++}`);
  mkdirSync(`${folder}/${benchmark}`, { recursive: true });
  writeFileSync(`${folder}/${benchmark}/${name}`, Buffer.from(parquetWriteBuffer({ columnData: columns })));
  return folder;
}

test("pictures of parquet may be bytes, base64, a data URL, or a list of one", async () => {
  const texts = Object.entries(popeRow).map(([name, value]): ColumnSource => ({ name, data: [value], type: "STRING" }));
  const columns: ColumnSource[] = [
    { name: "image", data: [new Uint8Array(PNG)], type: "BYTE_ARRAY" },
    { name: "image", data: [png], type: "STRING" },
    { name: "image", data: [`data:image/png;base64,${png}`], type: "STRING" },
  ];
  for (const image of columns) {
    const folder = parquetFolder("pope", "test-00000-of-00001.parquet", [...texts, image]);
    const { questions } = await load("pope", folder);
    expect(Buffer.from(await questions[0]!.pictures[0]!.bytes())).toEqual(PNG);
  }
  const number: ColumnSource = { name: "image", data: [7], type: "INT32" };
  const folder = parquetFolder("pope", "test-00000-of-00001.parquet", [...texts, number]);
  await expect(load("pope", folder)).rejects.toThrow("missing-image: it is a number, which is no picture");
});

test("an option that is NaN in a column of numbers is absent", async () => {
  const text = (name: string, value: string): ColumnSource => ({ name, data: [value], type: "STRING" });
  const number = (name: string, value: number): ColumnSource => ({ name, data: [value], type: "DOUBLE" });
  const folder = parquetFolder("mmbench", "dev-00000-of-00001.parquet", [
    { name: "index", data: [200], type: "INT32" },
    ...[text("question", "How many?"), number("hint", Number.NaN), number("A", 3), number("B", 4.5)],
    ...[number("C", Number.NaN), number("D", Number.NaN), text("answer", "A"), text("category", "c")],
    ...[text("image", png), text("source", "s"), text("l2-category", "l")],
  ]);
  const { questions } = await load("mmbench", folder);
  expect(questions[0]!.question).toMatchObject({ hint: "", options: { A: "3", B: "4.5" } });
});

test("a parquet footer whose columns do not fit its schema or the file is a fault, whatever is damaged", async () => {
  const source = path("data/echo840/OCRBench/data/test-00000-of-00001.parquet");
  const footer = (bytes: Buffer) => bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
  const spoil = (change: (bytes: Buffer, start: number) => void) => {
    const bytes = readFileSync(source);
    change(bytes, footer(bytes));
    const folder = path(`footer${copies++}`);
    mkdirSync(`${folder}/ocrbench`, { recursive: true });
    writeFileSync(`${folder}/ocrbench/test-00000-of-00001.parquet`, bytes);
    return load("ocrbench", folder);
  };
  // The last name of a column, in its description and no more in the schema.
  await expect(spoil((bytes) => bytes.write("questi n_type", bytes.lastIndexOf("question_type")))).rejects.toThrow(
    /truncated-file: it cannot be read as parquet: column "questi n_type" is not in its schema/,
  );
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
