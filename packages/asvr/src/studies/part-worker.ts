// The process of one part: node part-worker.js STUDY-FOLDER PART [RECIPE]. Started by PartProcess.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { defaultDevice } from "@asvr/torch";
import { firstFailure } from "../failure.js";
import { readSettings, useSettings } from "../parts/settings-file.js";
import { defineRecipe } from "../recipes/recipe.js";
import { Lock } from "../runs/lock.js";
import { type PartRecord, readPart, writePart } from "../runs/part-record.js";
import { isInterruption } from "../training/trainer.js";
import type { PartMessage } from "./part-process.js";
import { planShared, planStudy } from "./plan.js";

/** A part whose command was killed with -9 saves and ends by itself; the next command's process waits for it. */
const PREDECESSOR_ENDS_IN_SECONDS = 120;

const [folder, name, recipe] = process.argv.slice(2) as [string, string, string?];

const stop = new AbortController();
process.on("message", (message) => message === "stop" && stop.abort());
// A terminal sends its Ctrl-C to every process of the group; the parent waits for what is saved here.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop.abort());
// The parent is gone, killed perhaps: nobody would read the result.
process.on("disconnect", () => stop.abort());
if (!process.connected) stop.abort(); // it went while this process began

/** Resolves when the message is out, or when there is nobody to tell. */
function tell(message: PartMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, undefined, undefined, () => resolve());
    else resolve();
  });
}

/** The part as its record will say, with the time that all processes spent on it. */
async function runPart(): Promise<PartRecord> {
  const settings = await readSettings(folder);
  const planned = recipe ? planShared(settings, [defineRecipe(JSON.parse(recipe))]) : planStudy(settings);
  const part = planned.find((candidate) => candidate.name === name)!;
  useSettings(settings);
  const before = (await readPart(folder, name))?.seconds ?? 0;
  const started = performance.now();
  const recordOf = (state: PartRecord["state"], detail?: string): PartRecord => {
    const seconds = before + (performance.now() - started) / 1000;
    return { name, fingerprint: part.fingerprint, reads: part.reads, state, seconds, detail };
  };
  await writePart(folder, recordOf("started"));
  try {
    const detail = await part.run({
      folder,
      settings,
      device: defaultDevice(),
      signal: stop.signal,
      onProgress: (progress) => void tell({ kind: "progress", progress }),
    });
    const done = recordOf("done", detail);
    await writePart(folder, done);
    return done;
  } catch (error) {
    await writePart(folder, recordOf("started")).catch(() => {}); // the reason is the part's failure, not this one
    throw error;
  }
}

try {
  await mkdir(join(folder, "parts"), { recursive: true });
  const lock = await Lock.hold(join(folder, "parts", `${name}.lock`), {
    what: `${folder}, part ${name}`,
    waitSeconds: PREDECESSOR_ENDS_IN_SECONDS,
    signal: stop.signal,
  });
  try {
    await tell({ kind: "done", record: await runPart() });
  } finally {
    await lock.release();
  }
} catch (error) {
  if (isInterruption(error)) await tell({ kind: "interrupted" });
  else {
    const { name: kind, message, stack } = firstFailure(error);
    await tell({ kind: "failed", name: kind, message, stack });
  }
  process.exitCode = 1;
} finally {
  if (process.connected) process.disconnect();
}
