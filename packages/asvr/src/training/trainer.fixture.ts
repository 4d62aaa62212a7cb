import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { tidy } from "@asvr/torch";
import { expect } from "vitest";
import { latestCheckpoint } from "./checkpoint.js";
import { TinyObjective, tinyTraining } from "./fixture.js";
import { Interrupted, type TrainOptions, train } from "./trainer.js";

/** What a run came to. */
export interface Outcome {
  readonly files: Record<string, string>;
  readonly lines: unknown[];
}

/** Everything that a run is, apart from how long it took: files of its last checkpoint by hash, and its log. */
export async function outcome(folder: string): Promise<Outcome> {
  const { path } = (await latestCheckpoint(folder))!;
  const { files } = JSON.parse(readFileSync(join(path, "manifest.json"), "utf8"));
  return { files, lines: readLines(folder).map(withoutTimes) };
}

export function readLines(folder: string): Record<string, unknown>[] {
  const text = readFileSync(join(folder, "metrics.jsonl"), "utf8");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

export function withoutTimes({ samplesPerSecond, elapsedSeconds, memoryBytes, ...line }: Record<string, unknown>) {
  for (const time of [samplesPerSecond, elapsedSeconds, memoryBytes]) expect(time).toBeTypeOf("number");
  return line;
}

/** sha256 of the weights in memory. */
export function weightsOf({ model }: TinyObjective): string {
  const hash = createHash("sha256");
  tidy(() => {
    for (const [name, weight] of model.stateDict()) hash.update(name).update(weight.contiguous().data());
  });
  return hash.digest("hex");
}

/** Trains until a signal stops it at the start of step `stopAt`, or to the end. Each call is as a process of its own. */
export async function trainUntil(folder: string, stopAt: number | undefined, changes: Partial<TrainOptions>) {
  const controller = new AbortController();
  using objective = new TinyObjective((step) => step === stopAt && controller.abort());
  const running = train(objective, tinyTraining(folder, { ...changes, signal: controller.signal }));
  if (stopAt === undefined) await running;
  else {
    const error = await running.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Interrupted);
    expect((error as Error).message).toContain(`stopped at step ${stopAt + 1} of 14`);
  }
  return weightsOf(objective);
}
