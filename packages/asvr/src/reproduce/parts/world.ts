import { join } from "node:path";
import { buildMicroWorld } from "../../micro/index.js";
import type { PartContext } from "./part.js";

/** The pictures and records of the micro world. */
export async function makeWorld({ folder, settings, onProgress }: PartContext): Promise<string> {
  const { questionsPerImage, ...sizes } = settings.world;
  const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  const finished = new Map<string, number>();
  await buildMicroWorld({
    out: join(folder, "data"),
    seed: settings.sharedSeed,
    sizes,
    questionsPerImage,
    onProgress: ({ phase, done }) => {
      finished.set(phase, phase === "assets" ? 0 : done);
      onProgress({ phase: `pictures: ${phase}`, done: [...finished.values()].reduce((a, b) => a + b, 0), total });
    },
  });
  return `${total} scenes`;
}
