import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { buildMicroWorld } from "../micro/index.js";
import type { PartContext } from "./part.js";

/** The pictures and records of the micro world. */
export async function makeWorld({ folder, settings, onProgress, signal }: PartContext): Promise<string> {
  const { things, questionsPerImage, ...sizes } = settings.world;
  const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  const finished = new Map<string, number>();
  await removeDrafts(folder);
  await buildMicroWorld({
    out: join(folder, "data"),
    seed: settings.sharedSeed,
    things,
    sizes,
    questionsPerImage,
    onProgress: ({ phase, done }) => {
      signal.throwIfAborted(); // there is nothing to save: the folder appears only when it is complete
      finished.set(phase, phase === "assets" ? 0 : done);
      onProgress({ phase: `pictures: ${phase}`, done: [...finished.values()].reduce((a, b) => a + b, 0), total });
    },
  });
  return `${total} scenes`;
}

/** What processes that were killed have left of theirs. */
async function removeDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/^data\.\d+\.partial$/.test(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}
