import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { benchmarks } from "./all.js";
import { loadBenchmark } from "./data/load.js";
import { benchmarkFolder } from "./folder.fixture.js";

const { path } = benchmarkFolder();
const kept = fileURLToPath(new URL("../../../fixtures/benchmarks", import.meta.url));

test.each(benchmarks.map((one) => [one.name, one] as const))(
  "the kept fixture of %s is what scripts/benchmark-fixtures.mjs writes",
  async (_name, benchmark) => {
    const [there, made] = await Promise.all([kept, path("data")].map((folder) => loadBenchmark(benchmark, folder)));
    const plain = ({ questions }: typeof there & object) => questions.map(({ id, question }) => ({ id, question }));
    expect(plain(there!)).toEqual(plain(made!));
  },
);
