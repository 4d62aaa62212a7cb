import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { pathFrom } from "../files.js";

/** One golden: `NAME.json`, with `NAME.safetensors` beside it where there are tensors. */
export interface GoldenFile {
  readonly name: string;
  readonly folder: string;
}

const packages = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

/** The folders that goldens are read from: the one that ASVR_GOLDENS names, or the copies in all packages together. */
export function goldenRoots(): string[] {
  const named = pathFrom("ASVR_GOLDENS");
  if (named) return [resolve(named)];
  return readdirSync(packages)
    .map((name) => join(packages, name, "goldens"))
    .filter(existsSync);
}

/** The goldens of one subfolder, by name; none where the folder is missing. */
export function goldenFiles(subfolder: "numerics" | "scoring"): GoldenFile[] {
  const files = new Map<string, GoldenFile>();
  for (const root of goldenRoots()) {
    const folder = join(root, subfolder);
    if (!existsSync(folder)) continue;
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const [, name] = /^(.+)\.(json|safetensors)$/.exec(entry.name) ?? [];
      if (name && !entry.isDirectory()) files.set(name, { name, folder });
    }
  }
  return [...files.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
