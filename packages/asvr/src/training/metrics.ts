import { existsSync } from "node:fs";
import { open, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CheckpointError } from "@asvr/torch";
import type { Position } from "./manifest.js";
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
  /** Of training in this stage, over all processes that worked on it; saving is not counted. */
  elapsedSeconds: number;
  /** Resident memory of the process. */
  memoryBytes: number;
}

type LineOf<Stage extends string, Metrics> = { stage: Stage } & CommonMetrics & Metrics;

/** A line of a `metrics.jsonl`: the stage says which objective it is of, and so which other keys it has. */
export type LoggedStep =
  | LineOf<"pretraining" | "tuning" | "text", VisionLanguageMetrics>
  | LineOf<"cells", ContrastiveMetrics>
  | LineOf<"scenes", CaptioningMetrics>
  /** A tokenizer; one that learned from text has the share that a contrastive loss gets right. */
  | LineOf<"semantic" | "appearance", Partial<ContrastiveMetrics>>;

/** `metrics.jsonl`: one object a logged step. Lines of steps that a resumed run makes again are taken out first. */
export class MetricsLog {
  readonly #pending: string[] = [];

  private constructor(readonly file: string) {}

  static async open(folder: string, { stage, step }: Position): Promise<MetricsLog> {
    const file = join(folder, "metrics.jsonl");
    if (existsSync(file)) {
      const lines = (await readFile(file, "utf8")).split("\n").filter((line) => isKept(line, stage, step));
      const temporary = `${file}.partial`;
      await writeFile(temporary, lines.map((line) => `${line}\n`).join(""), { flush: true });
      await rename(temporary, file);
    }
    return new MetricsLog(file);
  }

  write(line: Readonly<Record<string, unknown>>): void {
    this.#pending.push(`${JSON.stringify(line)}\n`);
  }

  /** Lines reach the disk before the checkpoint that follows them. */
  async flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    // Taken out first: a scope that ends because they could not be written does not try again.
    const lines = this.#pending.splice(0);
    requireFolder(dirname(this.file));
    const handle = await open(this.file, "a");
    await handle.write(lines.join(""));
    await handle.sync();
    await handle.close();
  }

  /** However a run ends, its last lines are kept: they show how it came to that. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.flush();
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
