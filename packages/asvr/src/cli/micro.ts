import { buildMicroWorld, type MicroSizes } from "../micro/index.js";
import { printJson } from "./options.js";
import { progressDisplay } from "./progress.js";

export interface WorldOptions extends MicroSizes {
  out: string;
  seed: number;
  json: boolean;
}

/** Writes a micro world. */
export async function buildWorld({ out, seed, train, test, novel, encoder, text, json }: WorldOptions): Promise<void> {
  const display = progressDisplay();
  display.start("micro world");
  const started = performance.now();
  const manifest = await buildMicroWorld({
    out,
    seed,
    sizes: { encoder, text, train, test, novel },
    onProgress: ({ phase, done, total }) => display.update("micro world", { phase, done, total }),
  });
  display.done("micro world", (performance.now() - started) / 1000, out);
  display.close();
  if (json) printJson(manifest);
  else process.stdout.write(`${manifest.provenance}\n`);
}
