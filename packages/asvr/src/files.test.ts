import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readJsonLines } from "./evaluation/benchmarks/json-lines.js";
import { readText } from "./files.js";
import { readPart } from "./runs/part-record.js";
import { hashOfFile, readManifest } from "./training/manifest.js";

const root = mkdtempSync(join(tmpdir(), "asvr-files-"));
afterAll(() => rmSync(root, { recursive: true }));

test("a text is read whole; what is not there is told in the file system's words", () => {
  writeFileSync(join(root, "text"), "é\n");
  expect(readText(join(root, "text"))).toBe("é\n");
  expect(() => readText(join(root, "none"))).toThrow(expect.objectContaining({ code: "ENOENT" }));
  expect(() => readText(root)).toThrow(`${root}: it is a folder, not a file`);
});

test.skipIf(process.platform === "win32")("nobody waits for a pipe that nobody writes to", async () => {
  mkdirSync(join(root, "parts"));
  for (const name of ["manifest.json", "parts/row.json"]) execFileSync("mkfifo", [join(root, name)]);
  const pipe = join(root, "manifest.json");
  const isPipe = expect.objectContaining({
    name: "ConfigError",
    message: expect.stringMatching(/json: it is a named pipe, not a file$/),
  });
  await expect(readManifest(root)).rejects.toEqual(isPipe);
  await expect(hashOfFile(pipe)).rejects.toEqual(isPipe);
  await expect(readJsonLines(pipe)).rejects.toEqual(isPipe);
  await expect(readPart(root, "row")).rejects.toEqual(isPipe);
});
