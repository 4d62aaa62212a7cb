import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { PartProgress } from "../parts/part.js";
import type { Recipe } from "../recipes/recipe.js";
import type { PartRecord } from "../runs/part-record.js";
import { Interrupted } from "../training/trainer.js";
import type { Part } from "./plan.js";

/** What a part's process tells its parent. */
export type PartMessage =
  | { kind: "progress"; progress: PartProgress }
  | { kind: "done"; record: PartRecord }
  | { kind: "interrupted" }
  | { kind: "failed"; name: string; message: string; stack?: string };

/** A part in a process of its own: its memory is freed with it, and a crash takes nothing else along. */
export class PartProcess {
  readonly finished: Promise<PartRecord>;

  /** @param recipe whose part it is, where it is none of the study's own rows */
  constructor(
    folder: string,
    part: Part,
    {
      recipe,
      onProgress,
      signal,
    }: { recipe?: Recipe; onProgress: (progress: PartProgress) => void; signal: AbortSignal },
  ) {
    const worker = fileURLToPath(new URL("./part-worker.js", import.meta.url));
    // Standard output belongs to the command's own result: what a part prints goes to standard error.
    const execArgv = [...process.execArgv, "--import", new URL("../../bin/signals.js", import.meta.url).href];
    const child = fork(worker, [folder, part.name, ...(recipe ? [JSON.stringify(recipe)] : [])], {
      execArgv,
      stdio: ["ignore", 2, 2, "ipc"],
    });
    // The callback takes the error of a process that has just ended; its end is seen below.
    const stop = () => child.connected && child.send("stop", () => {});
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    this.finished = new Promise((resolve, reject) => {
      let outcome: PartMessage | undefined;
      child.on("message", (message: PartMessage) => {
        if (message.kind === "progress") onProgress(message.progress);
        else outcome = message;
      });
      child.on("error", reject);
      // Not "exit": messages may still be on their way then.
      child.on("close", (code, killedBy) => {
        signal.removeEventListener("abort", stop);
        if (outcome?.kind === "done") resolve(outcome.record);
        else if (outcome?.kind === "interrupted" || (!outcome && killedBy && stopping.has(killedBy)))
          reject(new Interrupted(`${part.name} was stopped; it is saved`));
        else reject(partError(part.name, outcome, code, killedBy));
      });
    });
  }
}

/** A process that has only just begun dies of these: it has nothing to save yet. */
const stopping: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP"]);

function partError(
  part: string,
  outcome: PartMessage | undefined,
  code: number | null,
  killedBy: string | null,
): Error {
  if (outcome?.kind === "failed") {
    const error = new Error(`${part}: ${outcome.message}`);
    error.name = outcome.name;
    if (outcome.stack) error.stack = outcome.stack;
    return error;
  }
  const how = killedBy
    ? `was killed by ${killedBy}${killedBy === "SIGKILL" ? " (out of memory?)" : ""}`
    : `ended with status ${code}`;
  return new Error(`${part}: its process ${how}. The same command goes on from its newest checkpoint.`);
}
