import { existsSync } from "node:fs";
import { appendFile, open, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CheckpointError } from "@asvr/torch";
import { readText } from "../files.js";
import type { Position } from "./manifest.js";
import type { LoggedMetrics } from "./metric-totals.js";
import type { ContrastiveMetrics } from "./objectives/encoder.js";
import type { CaptioningMetrics } from "./objectives/scenes.js";
import type { VisionLanguageMetrics } from "./objectives/vision-language.js";

/** What every line of `metrics.jsonl` has, whatever is trained. */
export interface CommonMetrics {
  /** Counts from 0 in each stage. */
  step: number;
  /** Counts from 0 over all stages of the folder; lines of earlier versions have none. */
  globalStep?: number;
  loss: number;
  learningRate: number;
  /** Before clipping. */
  gradNorm: number;
  /** Mean since the stage began. */
  samplesPerSecond: number;
  /** Of training in this stage, over all processes that worked on it; saving and validation are not counted. */
  elapsedSeconds: number;
  /** Resident memory of the process. */
  memoryBytes: number;
  /** What was measured after the step, where that was due: losses of held-out data, by the names above. */
  validation?: LoggedMetrics;
}

type LineOf<Stage extends string, Metrics> = { stage: Stage } & CommonMetrics & Metrics;

/** A line of a `metrics.jsonl`: the stage says which objective it is of, and so which other keys it has. */
export type LoggedStep =
  | LineOf<"pretraining" | "tuning" | "text", VisionLanguageMetrics>
  | LineOf<"cells", ContrastiveMetrics>
  | LineOf<"scenes", CaptioningMetrics>
  /** A tokenizer; one that learned from text has the share that a contrastive loss gets right. */
  | LineOf<"semantic" | "appearance", Partial<ContrastiveMetrics>>;

/** `metrics.jsonl`: an object a logged step, appended at once. So a run that is killed has logged all its steps. */
export class MetricsLog {
  private constructor(readonly file: string) {}

  /** Opens the log of a run that goes on from `position`: lines of steps that it makes again are taken out. */
  static async open(folder: string, { stage, step }: Position): Promise<MetricsLog> {
    const file = join(folder, "metrics.jsonl");
    if (existsSync(file)) {
      const lines = readText(file)
        .split("\n")
        .filter((line) => isKept(line, stage, step));
      const temporary = `${file}.partial`;
      await writeFile(temporary, lines.map((line) => `${line}\n`).join(""), { flush: true });
      await rename(temporary, file);
    }
    return new MetricsLog(file);
  }

  /** Appends a line. @throws CheckpointError when the folder is gone */
  async write(line: Readonly<Record<string, unknown>>): Promise<void> {
    requireFolder(dirname(this.file));
    await appendFile(this.file, `${JSON.stringify(line)}\n`);
  }

  /** Returns when all lines are on the disk: a checkpoint that is saved after it has none ahead of them. */
  async sync(): Promise<void> {
    if (!existsSync(this.file)) return;
    const handle = await open(this.file, "a");
    await handle.sync();
    await handle.close();
  }
}

/** A run's folder may be deleted while it is trained: it must not come back without what was in it. @throws CheckpointError */
export function requireFolder(folder: string): void {
  if (existsSync(folder)) return;
  throw new CheckpointError(
    `${folder} is gone: it was deleted or moved while it was being trained, and nothing can be saved there. ` +
      "Put it back to go on from its newest checkpoint, or run the command again to begin anew.",
  );
}

/** A line cut short by a crash is dropped too. */
function isKept(line: string, stage: string, step: number): boolean {
  try {
    const entry = JSON.parse(line) as { stage: string; step: number };
    return entry.stage !== stage || entry.step < step;
  } catch {
    return false;
  }
}
