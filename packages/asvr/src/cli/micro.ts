import { buildMicroWorld, type MicroSizes, THINGS_NAMES, type ThingsName } from "../micro/index.js";
import { oneOf, printJson } from "./options.js";
import { print } from "./printable.js";
import { progressDisplay } from "./progress.js";

export interface WorldOptions extends MicroSizes {
  out: string;
  seed: number;
  things: string;
  json: boolean;
}

/** Writes a micro world. */
export async function buildWorld({ out, seed, json, ...options }: WorldOptions): Promise<void> {
  const { train, test, novel, encoder, text } = options;
  const things = oneOf<ThingsName>("--things", options.things, THINGS_NAMES);
  const display = progressDisplay();
  display.start("micro world");
  const started = performance.now();
  const manifest = await buildMicroWorld({
    out,
    seed,
    things,
    sizes: { encoder, text, train, test, novel },
    onProgress: ({ phase, done, total }) => display.update("micro world", { phase, done, total }),
  });
  display.done("micro world", (performance.now() - started) / 1000, out);
  display.close();
  if (json) printJson(manifest);
  else print(`${manifest.provenance}\n`);
}
