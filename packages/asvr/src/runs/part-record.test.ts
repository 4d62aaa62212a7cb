import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readPart, writePart } from "./part-record.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-part-record-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a part's record is read as it was written; of earlier versions it does not say what was read", async () => {
  const record = { name: "codes", fingerprint: "f", reads: { layer: -1 }, state: "done" as const, seconds: 2 };
  await writePart(folder, record);
  expect(await readPart(folder, "codes")).toEqual(record);
  expect(await readPart(folder, "encoder")).toBeUndefined();
  const { reads: _, ...earlier } = record;
  writeFileSync(join(folder, "parts", "text-lm.json"), JSON.stringify({ ...earlier, name: "text-lm" }));
  expect((await readPart(folder, "text-lm"))!.reads).toBeUndefined();
});

test.each([
  ["no JSON", "{", /parts.bad\.json: /],
  ["another state", '{"name":"bad","fingerprint":"f","state":"half","seconds":1}', /state: .*Delete it/],
  ["no seconds", '{"name":"bad","fingerprint":"f","state":"done"}', /seconds: /],
])("a record with %s is refused by its name", async (_, text, message) => {
  mkdirSync(join(folder, "parts"), { recursive: true });
  writeFileSync(join(folder, "parts", "bad.json"), text);
  await expect(readPart(folder, "bad")).rejects.toThrow(message);
});
