import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { expandPath, isGitLfsPointer, pathFrom, readWholeFile } from "./files.js";
import { CheckpointError, openWeights, readSafetensorsHeader } from "./index.js";

const root = mkdtempSync(join(tmpdir(), "asvr-files-"));
afterAll(() => rmSync(root, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123456\n";

test("a regular file is read whole; a larger one than is allowed is not", () => {
  const file = join(root, "plain.txt");
  writeFileSync(file, "twelve bytes");
  expect(readWholeFile(file).toString()).toBe("twelve bytes");
  expect(() => readWholeFile(file, 11)).toThrow("it has 12 bytes, 11 are allowed");
});

test("a pipe that nobody writes to, a device and a folder are refused at once", () => {
  const pipe = join(root, "pipe.json");
  execFileSync("mkfifo", [pipe]);
  expect(() => readWholeFile(pipe)).toThrow("it is a named pipe, not a file");
  expect(() => readWholeFile("/dev/zero")).toThrow("it is a device, not a file");
  expect(() => readWholeFile(root)).toThrow("it is a folder, not a file");
  expect(() => readSafetensorsHeader(pipe)).toThrow(/pipe\.json: can't be read: it is a named pipe/);
});

test.each(["model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"])(
  "%s that is a pointer of git-lfs is called one",
  (name) => {
    const folder = join(root, `lfs-${name}`);
    mkdirSync(folder);
    writeFileSync(join(folder, name), pointer);
    expect(() => openWeights(folder)).toThrow(CheckpointError);
    expect(() => openWeights(folder)).toThrow(
      /it is a pointer of git-lfs, not the file itself: `git lfs pull` fetches/,
    );
  },
);

test("a pointer is known by its beginning, whatever follows", () => {
  expect(isGitLfsPointer(Buffer.from(pointer))).toBe(true);
  expect(isGitLfsPointer(Buffer.from("version 2"))).toBe(false);
  expect(isGitLfsPointer(Buffer.alloc(0))).toBe(false);
});

test("variables are expanded as Python's expanduser and expandvars do", () => {
  vi.stubEnv("PLACE", "/data");
  const home = homedir();
  const braced = (name: string) => ["$", "{", name, "}"].join("");
  const expanded = new Map([
    ["~", home],
    ["~/hub", join(home, "hub")],
    ["~other/hub", "~other/hub"],
    ["/a/~/b", "/a/~/b"],
    ["$PLACE/hub", "/data/hub"],
    [`${braced("PLACE")}hub`, "/datahub"],
    ["$PLACEhub", "$PLACEhub"],
    [`$NOT_SET/${braced("NOT_SET")}`, `$NOT_SET/${braced("NOT_SET")}`],
    ["~/$PLACE", `${home}//data`],
  ]);
  for (const [path, want] of expanded) expect(expandPath(path)).toBe(want);
  vi.stubEnv("SOME_PATH", "");
  expect(pathFrom("SOME_PATH")).toBeUndefined();
});
