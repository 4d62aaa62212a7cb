import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { benchmarks } from "../all.js";
import { writeBenchmarkFixtures } from "../fixture.js";
import { loadBenchmark, missingFrom } from "./load.js";
import { decodePicture } from "./table.js";

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "benchmarks-"));
  await writeBenchmarkFixtures(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const counts: Record<string, number> = {
  textvqa: 12,
  docvqa: 8,
  ocrbench: 10,
  chartqa: 8,
  mmbench: 9,
  mme: 56,
  seed: 9,
  gqa: 9,
  mmmu: 8,
  ai2d: 8,
  realworldqa: 6,
  mmvp: 8,
  hallusionbench: 12,
  pope: 18,
};

test.each(benchmarks.map((one) => [one.name, one] as const))(
  "%s is read from its published form",
  async (name, one) => {
    const { questions, coverage } = await loadBenchmark(one, folder);
    expect(questions.length).toBe(counts[name]);
    expect(coverage).toMatchObject({ bad: 0, missingPictures: 0, missingShards: [], expected: one.data.rows });
    expect(missingFrom(coverage)).toEqual([expect.stringContaining(`${counts[name]} rows`)]);
    for (const { question, pictures } of questions) {
      expect(one.gold(question)).toBeTruthy();
      const [first] = pictures;
      const { width, height } = await decodePicture(first!);
      expect([width, height]).toEqual([12, 8]);
    }
  },
);
