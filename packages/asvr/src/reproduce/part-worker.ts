// The process of one part: node part-worker.js STUDY-FOLDER PART. Started by PartProcess.
import { defaultDevice } from "@asvr/torch";
import { Interrupted } from "../training/trainer.js";
import type { PartMessage } from "./part-process.js";
import { type PartRecord, readPart, writePart } from "./parts/part.js";
import { planStudy } from "./plan.js";
import { readSettings, useSettings } from "./study.js";

const [folder, name] = process.argv.slice(2) as [string, string];

const stop = new AbortController();
process.on("message", (message) => message === "stop" && stop.abort());
// A terminal sends its Ctrl-C to every process of the group; the parent waits for what is saved here.
process.on("SIGINT", () => stop.abort());
process.on("SIGTERM", () => stop.abort());
// The parent is gone, killed perhaps: nobody would read the result.
process.on("disconnect", () => stop.abort());

function tell(message: PartMessage): void {
  if (process.connected) process.send!(message);
}

const settings = await readSettings(folder);
const part = planStudy(settings).find((candidate) => candidate.name === name)!;
useSettings(settings);
const before = await readPart(folder, name);
const record: PartRecord = {
  name,
  fingerprint: part.fingerprint,
  state: "started",
  seconds: before?.seconds ?? 0,
};
const started = performance.now();
const spent = () => (before?.seconds ?? 0) + (performance.now() - started) / 1000;
try {
  await writePart(folder, record);
  const detail = await part.run({
    folder,
    settings,
    device: defaultDevice(),
    signal: stop.signal,
    onProgress: (progress) => tell({ kind: "progress", progress }),
  });
  const done: PartRecord = { ...record, state: "done", seconds: spent(), detail };
  await writePart(folder, done);
  tell({ kind: "done", record: done });
} catch (error) {
  await writePart(folder, { ...record, seconds: spent() });
  const isStopped = error instanceof Interrupted || (error instanceof Error && error.name === "AbortError");
  if (isStopped) tell({ kind: "interrupted" });
  else {
    const { name: kind, message, stack } = error instanceof Error ? error : new Error(String(error));
    tell({ kind: "failed", name: kind, message, stack });
  }
  process.exitCode = 1;
} finally {
  if (process.connected) process.disconnect();
}
