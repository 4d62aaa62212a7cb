import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openParquet } from "../evaluation/benchmarks/data/parquet-table.js";
import { openText } from "../evaluation/benchmarks/data/text-table.js";
import { elementsOf } from "./elements.js";
import { decodeImage } from "./images.js";
import { readRecords } from "./records.js";

const root = mkdtempSync(join(tmpdir(), "asvr-regular-"));
afterAll(() => rmSync(root, { recursive: true }));

const pointer = join(root, "pointer");
writeFileSync(pointer, "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123456\n");
const pipe = join(root, "pipe");
execFileSync("mkfifo", [pipe]);
const options = { pictures: [], imagesFolder: { root, inside: "" } } as unknown as Parameters<typeof openText>[1];

const readers: Record<string, (file: string) => Promise<unknown>> = {
  records: (file) => elementsOf(file).next(),
  "a table of texts": (file) => openText(file, options),
  parquet: (file) => openParquet(file, options),
  "a picture": (file) => decodeImage(file),
};

test.each(Object.entries(readers))("%s that is a pointer of git-lfs, or a pipe, is called so", async (_, read) => {
  await expect(read(pointer)).rejects.toThrow(/pointer: git-lfs-pointer: it is a pointer of git-lfs.*git lfs pull/);
  await expect(read(pipe)).rejects.toThrow(/not-a-file: it is a named pipe|missing-image: it is not a file/);
});

test("a file of records that is a pointer is one fault of the whole file", async () => {
  const { faults } = await readRecords(pointer);
  expect(faults.map(({ kind, index }) => [kind, index])).toEqual([["git-lfs-pointer", -1]]);
});
