import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { FakeHub } from "../../../checkpoints/hub/hub.fixture.js";
import { benchmarkNamed, benchmarks } from "../all.js";
import { fetchBenchmark } from "./fetch.js";
import { loadBenchmark } from "./load.js";

const root = mkdtempSync(join(tmpdir(), "asvr-data-"));
afterAll(() => rmSync(root, { recursive: true }));
const fixtures = fileURLToPath(new URL("../../../../fixtures/benchmarks", import.meta.url));
const commit = "89abcdef0123456789abcdef0123456789abcdef";
const freshCache = () => mkdtempSync(join(root, "cache-"));

/** A hub with the fixture of a data set, and what else such repositories hold. */
function hubWith(id: string, others: Record<string, string> = {}): Promise<FakeHub> {
  const folder = join(fixtures, id);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file): [string, Buffer] => [relative(folder, file), readFileSync(file)]);
  const more = Object.entries({ "README.md": "# A data set", ...others }).map(([path, text]): [string, Buffer] => [
    path,
    Buffer.from(text),
  ]);
  return FakeHub.start({ id, commit, isDataset: true, files: new Map([...files, ...more]) });
}

/** Files of a snapshot, sorted. */
const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .filter((path) => /\.\w+$/.test(path))
    .sort();

test.each(benchmarks.map(({ name, data }) => [name, data.hub]))(
  "%s is fetched into the cache and loads as from a folder",
  async (name, id) => {
    const cacheDir = freshCache();
    await using hub = await hubWith(id!);
    const benchmark = benchmarkNamed(name!);
    const folder = await fetchBenchmark(benchmark, { hubUrl: hub.url, cacheDir });
    expect(folder).toBe(join(cacheDir, `datasets--${id!.replace("/", "--")}`, "snapshots", commit));
    expect(existsSync(join(folder, "README.md"))).toBe(false);
    const fetched = await loadBenchmark(benchmark, folder);
    const local = await loadBenchmark(benchmark, fixtures, { flat: false });
    expect(fetched.questions.map(({ id, question }) => ({ id, question }))).toEqual(
      local.questions.map(({ id, question }) => ({ id, question })),
    );
    expect(await Promise.all(fetched.questions.map(({ pictures: [picture] }) => picture!.bytes()))).toEqual(
      await Promise.all(local.questions.map(({ pictures: [picture] }) => picture!.bytes())),
    );
    expect(fetched.coverage).toEqual(local.coverage);
  },
);

test("only what the split needs is fetched; a cache of it is asked for nothing more", async () => {
  const cacheDir = freshCache();
  const others = {
    "DocVQA/test-00000-of-00001.parquet": "another split",
    "InfographicVQA/validation-00000-of-00001.parquet": "another config",
    "DocVQA/train.zip": "something else",
  };
  await using hub = await hubWith("lmms-lab/DocVQA", others);
  const options = { hubUrl: hub.url, cacheDir };
  const folder = await fetchBenchmark(benchmarkNamed("docvqa"), options);
  expect(filesIn(folder)).toEqual(["DocVQA/validation-00000-of-00001.parquet"]);
  hub.requests.length = 0;
  expect(await fetchBenchmark(benchmarkNamed("docvqa"), options)).toBe(folder);
  expect(hub.requests.filter((request) => request.includes("/resolve/"))).toEqual([]);
  await fetchBenchmark(benchmarkNamed("docvqa"), { ...options, split: "test" });
  expect(filesIn(folder)).toEqual(["DocVQA/test-00000-of-00001.parquet", "DocVQA/validation-00000-of-00001.parquet"]);
});

test("offline, absent, without such files, with a path that leads out: what it is and what to do", async () => {
  const cacheDir = freshCache();
  await using hub = await hubWith("lmms-lab/POPE");
  const at = (options = {}) => fetchBenchmark(benchmarkNamed("pope"), { hubUrl: hub.url, cacheDir, ...options });
  await expect(at({ offline: true })).rejects.toThrow(/lmms-lab\/POPE \(main\) is not in .*HF_HUB_OFFLINE/);
  await expect(at({ id: "lmms-lab/other" })).rejects.toThrow(/the hub has no lmms-lab\/other/);
  await expect(at({ id: "lmms-lab/POPE@v9" })).rejects.toThrow(/revision "v9"/);
  await expect(at({ split: "train" })).rejects.toThrow(/pope has no split "train"/);
  const folder = await at();
  expect(await at({ offline: true })).toBe(folder);
  const other = { hubUrl: hub.url, cacheDir, id: "lmms-lab/POPE" };
  await expect(fetchBenchmark(benchmarkNamed("docvqa"), other)).rejects.toThrow(
    /holds none of the files that are wanted/,
  );
  const leading = { "data/../../test-00001-of-00002.parquet": "" };
  await using strange = await hubWith("lmms-lab/ai2d", leading);
  await expect(fetchBenchmark(benchmarkNamed("ai2d"), { hubUrl: strange.url, cacheDir })).rejects.toThrow(
    /lists "data\/\.\.\/\.\.\/test-00001-of-00002\.parquet", which leads out/,
  );
});
