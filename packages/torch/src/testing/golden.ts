import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { defaultDevice } from "../runtime.js";
import { readSafetensors } from "../safetensors/index.js";
import { tidy } from "../scope.js";
import type { Tensor } from "../tensor.js";
import type { Tolerance } from "./close.js";
import type { Family } from "./families.js";
import { type GoldenFile, goldenFiles } from "./golden-files.js";

/** What a reference implementation gave for one configuration. Its tensors are on the default device. */
export interface Golden<Config, Sidecar> {
  readonly name: string;
  /** The folder that the file lies in: sidecars name others beside it. */
  readonly folder: string;
  readonly config: Config;
  /** The whole JSON file. */
  readonly sidecar: Sidecar;
  /** From the sidecar: of values, and of gradients. Zero where it says "exact", or words only. */
  readonly tolerance: { readonly forward: Tolerance; readonly gradients: Tolerance };
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** The tensor of that name. @throws Error that lists the names there are */
  tensor(name: string): Tensor;
  /** The tensors whose names begin with `prefix`, which is cut off: `under("grad/weight/")`. */
  under(prefix: string): Map<string, Tensor>;
  /** The tensors under `weight/`, with `prefix` those whose names then begin with it; both are cut off. */
  weights(prefix?: string): Map<string, Tensor>;
  /** Ends the test as skipped: what it needs is not here. */
  skip(why: string): never;
}

/**
 * Registers a test `golden NAME` for every golden of a family: in the folder that ASVR_GOLDENS names, or in the packages'
 * own copies. The body runs in a `tidy`, so it is synchronous; what must be awaited is awaited before.
 */
export function goldenFamily<Config = Record<string, unknown>, Sidecar = Record<string, unknown>>(
  prefix: Family,
  body: (golden: Golden<Config, Sidecar>) => void,
): void {
  const files = goldenFiles("numerics").filter(({ name }) => name.startsWith(prefix));
  for (const file of files) {
    test(`golden ${file.name}`, (context) => tidy(() => body(read(file, (why) => context.skip(why)))));
  }
  if (files.length === 0) test.skip(`golden ${prefix}: no file of this family`, () => {});
}

function read<Config, Sidecar>({ name, folder }: GoldenFile, skip: (why: string) => never): Golden<Config, Sidecar> {
  const sidecar = readSidecar(join(folder, `${name}.json`)) as Sidecar & {
    config: Config;
    tolerance: unknown;
  };
  const file = join(folder, `${name}.safetensors`);
  const tensors = new Map<string, Tensor>();
  if (existsSync(file)) {
    const device = defaultDevice();
    for (const [key, tensor] of readSafetensors(file).tensors) tensors.set(key, tensor.to({ device }));
  }
  const under = (prefix: string) => {
    const found = [...tensors].filter(([key]) => key.startsWith(prefix));
    return new Map(found.map(([key, tensor]) => [key.slice(prefix.length), tensor]));
  };
  return {
    name,
    folder,
    config: sidecar.config,
    sidecar,
    tolerance: tolerances(sidecar.tolerance),
    tensors,
    tensor(key) {
      const tensor = tensors.get(key);
      if (!tensor) throw new Error(`golden ${name} has no tensor ${key}. It has: ${[...tensors.keys()].join(", ")}`);
      return tensor;
    },
    under,
    weights: (prefix = "") => under(`weight/${prefix}`),
    skip,
  };
}

/** Sidecars were written by Python, whose JSON may hold NaN and Infinity as numbers. */
function readSidecar(file: string): unknown {
  return JSON.parse(readFileSync(file, "utf8").replace(/([:[,]\s*)(?:NaN|-?Infinity)(?=\s*[,}\]])/g, "$1null"));
}

/** A sidecar has a tolerance for values and one for gradients, one for everything, or words. */
function tolerances(value: unknown): Golden<unknown, unknown>["tolerance"] {
  const given = (typeof value === "object" ? value : null) as Partial<
    Tolerance & Golden<unknown, unknown>["tolerance"]
  > | null;
  const { rtol = 0, atol = 0 } = given ?? {};
  return { forward: given?.forward ?? { rtol, atol }, gradients: given?.gradients ?? { rtol, atol } };
}

/** Python's JSON may hold NaN and Infinity, which JSON does not have: they become null and Infinity. */
export function parsePythonJson(text: string): unknown {
  const strict = text.replace(
    /("(?:[^"\\]|\\.)*")|NaN|Infinity/g,
    (token, string) => string ?? (token === "NaN" ? "null" : "1e999"),
  );
  return JSON.parse(strict);
}
