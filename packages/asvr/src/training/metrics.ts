import { existsSync } from "node:fs";
import { open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Position } from "./checkpoint.js";

/** `metrics.jsonl`: one object a logged step. Lines of steps that a resumed run makes again are taken out first. */
export class MetricsLog {
  #pending: string[] = [];

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
    const handle = await open(this.file, "a");
    await handle.write(this.#pending.join(""));
    await handle.sync();
    await handle.close();
    this.#pending = [];
  }

  /** However a run ends, its last lines are kept: they show how it came to that. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.flush();
  }
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
