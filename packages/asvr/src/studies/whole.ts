import type { PartProgress } from "../parts/part.js";
import type { PartRecord } from "../runs/part-record.js";
import type { Part } from "./plan.js";

/** How far a study is over all of its parts. */
export interface WholeProgress {
  done: number;
  running: number;
  total: number;
  /** Not known before a part is finished: until then nothing says how fast this machine is. */
  secondsLeft?: number;
}

interface Running {
  since: number;
  /** What it says itself, of the stage that it is in. */
  secondsLeft: number;
}

/** The parts of a study that are done and at work, and how long the rest takes by what the finished ones took. */
export class Whole {
  readonly #done: Map<string, PartRecord>;
  readonly #running = new Map<string, Running>();

  /**
   * @param records of the parts that are done or begun
   * @param jobs parts that run side by side
   * @param now in seconds
   */
  constructor(
    private readonly parts: readonly Pick<Part, "name" | "needs" | "cost">[],
    private readonly records: ReadonlyMap<string, PartRecord>,
    private readonly jobs: number,
    private readonly now: () => number = () => performance.now() / 1000,
  ) {
    this.#done = new Map([...records].filter(([, { state }]) => state === "done"));
  }

  start(name: string): void {
    this.#running.set(name, { since: this.now(), secondsLeft: 0 });
  }

  update(name: string, { secondsLeft = 0 }: PartProgress): void {
    const running = this.#running.get(name);
    if (running) running.secondsLeft = secondsLeft;
  }

  finish(name: string, record: PartRecord): void {
    this.#running.delete(name);
    this.#done.set(name, record);
  }

  progress(): WholeProgress {
    const secondsLeft = this.#secondsLeft();
    const counts = { done: this.#done.size, running: this.#running.size, total: this.parts.length };
    return { ...counts, ...(secondsLeft !== undefined && { secondsLeft }) };
  }

  /** Plays what is left as it will be run: with the same choice of parts, each for as long as it probably takes. */
  #secondsLeft(): number | undefined {
    const pace = this.#pace();
    if (pace === undefined) return undefined;
    const done = new Set(this.#done.keys());
    const ends = new Map([...this.#running.keys()].map((name) => [name, this.#partLeft(name, pace)]));
    for (let seconds = 0; ; ) {
      for (const { name } of nextParts(this.parts, done, ends, this.jobs)) {
        ends.set(name, seconds + this.#partLeft(name, pace));
      }
      if (ends.size === 0) return seconds;
      const [first, end] = [...ends].reduce((one, other) => (other[1] < one[1] ? other : one));
      ends.delete(first);
      done.add(first);
      seconds = end;
    }
  }

  /** Seconds that a second of cost takes here. */
  #pace(): number | undefined {
    let seconds = 0;
    let cost = 0;
    for (const part of this.parts) {
      const record = this.#done.get(part.name);
      if (!record || part.cost === 0) continue;
      seconds += record.seconds;
      cost += part.cost;
    }
    return cost > 0 ? seconds / cost : undefined;
  }

  #partLeft(name: string, pace: number): number {
    const { cost } = this.parts.find((part) => part.name === name)!;
    const running = this.#running.get(name);
    const before = this.records.get(name)?.seconds ?? 0;
    const spent = before + (running ? this.now() - running.since : 0);
    return Math.max(running?.secondsLeft ?? 0, cost * pace - spent, 0);
  }
}

/** Parts that can start now, in the order of the plan, as many as there is room for. */
export function nextParts<P extends Pick<Part, "name" | "needs">>(
  parts: readonly P[],
  done: { has(name: string): boolean },
  running: { has(name: string): boolean; readonly size: number },
  jobs: number,
): P[] {
  const ready = parts.filter(
    ({ name, needs }) => !done.has(name) && !running.has(name) && needs.every((need) => done.has(need)),
  );
  return ready.slice(0, Math.max(0, jobs - running.size));
}
