import { ConfigError } from "../../errors.js";
import { ai2d } from "./ai2d.js";
import type { Benchmark } from "./benchmark.js";
import { chartqa } from "./chartqa.js";
import { docvqa } from "./docvqa.js";
import { gqa } from "./gqa.js";
import { hallusionbench } from "./hallusionbench.js";
import { mmbench } from "./mmbench.js";
import { mme } from "./mme.js";
import { mmmu } from "./mmmu.js";
import { mmvp } from "./mmvp.js";
import { ocrbench } from "./ocrbench.js";
import { pope } from "./pope.js";
import { realworldqa } from "./realworldqa.js";
import { seed } from "./seed.js";
import { textvqa } from "./textvqa.js";

/** The fourteen, in the order of the paper's columns. */
export const benchmarks: readonly Benchmark[] = [
  textvqa,
  docvqa,
  ocrbench,
  chartqa,
  mmbench,
  mme,
  seed,
  gqa,
  mmmu,
  ai2d,
  realworldqa,
  mmvp,
  hallusionbench,
  pope,
];

/** @throws ConfigError that lists the names there are */
export function benchmarkNamed(name: string): Benchmark {
  const found = benchmarks.find((one) => one.name === name);
  if (found) return found;
  throw new ConfigError(
    `no benchmark is called ${JSON.stringify(name)}; there are ${benchmarks.map((one) => one.name).join(", ")}`,
  );
}

/** `all`, or names with commas. @throws ConfigError */
export function benchmarksNamed(names: string): Benchmark[] {
  return names === "all" ? [...benchmarks] : names.split(",").map((name) => benchmarkNamed(name.trim()));
}
