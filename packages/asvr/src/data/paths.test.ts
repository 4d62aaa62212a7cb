import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { DataError } from "../errors.js";
import { resolveImage } from "./paths.js";

const root = realpathSync(mkdtempSync(join(tmpdir(), "asvr-paths-")));
afterAll(() => rmSync(root, { recursive: true }));
const folder = join(root, "images");
mkdirSync(join(folder, "coco"), { recursive: true });
mkdirSync(join(root, "images-private"));
writeFileSync(join(folder, "coco/a..b.jpg"), "");
writeFileSync(join(root, "images-private/secret.jpg"), "");
symlinkSync(join(root, "images-private"), join(folder, "private"));
symlinkSync(join(folder, "coco"), join(folder, "inside"));

test("gives the real path of a picture in the folder", () => {
  const path = join(folder, "coco/a..b.jpg");
  expect(resolveImage(folder, "coco/a..b.jpg")).toBe(path);
  expect(resolveImage(folder, "inside/./a..b.jpg")).toBe(path); // a link that stays inside
});

test.each([
  ["absolute-path", "/etc/passwd"],
  ["absolute-path", "C:\\pictures\\a.jpg"],
  ["absolute-path", "\\\\server\\a.jpg"],
  ["path-escape", "../images-private/secret.jpg"],
  ["path-escape", "coco/../../images-private/secret.jpg"],
  ["path-escape", "coco\\..\\..\\secret.jpg"],
  ["symlink-escape", "private/secret.jpg"],
  ["missing-image", "coco/none.jpg"],
  ["missing-image", "coco"],
  ["missing-image", ""],
  ["missing-image", "coco/a..b.jpg\0.png"],
])("%s: %j", (kind, image) => {
  let error: unknown;
  try {
    resolveImage(folder, image);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(DataError);
  expect((error as DataError).faults[0]).toMatchObject({ kind, file: image });
});

test("a folder that is not there has no pictures", () => {
  expect(() => resolveImage(join(root, "nowhere"), "a.jpg")).toThrow(/missing-image: there is no "a.jpg" in .*nowhere/);
});
