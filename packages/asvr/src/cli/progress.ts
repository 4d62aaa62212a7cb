import cliProgress from "cli-progress";
import type { PartProgress } from "../parts/part.js";
import type { WholeProgress } from "../studies/whole.js";
import { printable, tell } from "./printable.js";

/** How often a part's line, and that of the whole, is repeated where there is no terminal. */
const LINE_EVERY_SECONDS = 15;

/** Shows how far parts are, on standard error: a bar each in a terminal, plain lines elsewhere. */
export interface ProgressDisplay {
  start(part: string): void;
  update(part: string, progress: PartProgress): void;
  done(part: string, seconds: number, detail?: string): void;
  /** How far a study is over all of its parts. */
  whole(progress: WholeProgress): void;
  note(text: string): void;
  close(): void;
}

export function progressDisplay(): ProgressDisplay {
  return process.stderr.isTTY ? new Bars() : new Lines();
}

function describe({ phase, loss, samplesPerSecond, secondsLeft, memoryBytes }: PartProgress): string {
  return [
    phase,
    loss !== undefined && `loss ${loss.toFixed(3)}`,
    samplesPerSecond !== undefined && `${samplesPerSecond.toFixed(0)} samples/s`,
    memoryBytes !== undefined && `${(memoryBytes / 2 ** 20).toFixed(0)} MB`,
    secondsLeft !== undefined && `${duration(secondsLeft)} left`,
  ]
    .filter(Boolean)
    .join(", ");
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** "part 4 of 10, about 3 min left". */
export function describeWhole({ done, running, total, secondsLeft }: WholeProgress): string {
  const last = done + running;
  const numbers = running <= 1 ? `part ${last}` : `parts ${done + 1} ${running === 2 ? "and" : "to"} ${last}`;
  return `${numbers} of ${total}${secondsLeft === undefined ? "" : `, about ${roughly(secondsLeft)} left`}`;
}

function roughly(seconds: number): string {
  if (seconds < 50) return `${Math.max(1, Math.ceil(seconds / 10)) * 10} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

class Bars implements ProgressDisplay {
  readonly #bars = new Map<string, cliProgress.SingleBar>();
  #whole: cliProgress.SingleBar | undefined;
  readonly #all = new cliProgress.MultiBar(
    {
      format: " {part} {bar} {percentage}% {text}",
      stream: process.stderr,
      hideCursor: true,
      gracefulExit: false, // what Ctrl-C does is the command's to say
      clearOnComplete: true,
      barsize: 24,
    },
    cliProgress.Presets.shades_classic,
  );

  start(part: string): void {
    this.#bars.set(part, this.#all.create(1, 0, { part: printable(part).padEnd(20), text: "" }));
  }

  update(part: string, progress: PartProgress): void {
    const bar = this.#bars.get(part);
    bar?.setTotal(progress.total);
    bar?.update(progress.done, { text: printable(describe(progress)) });
  }

  done(part: string, seconds: number, detail?: string): void {
    const bar = this.#bars.get(part);
    if (bar) this.#all.remove(bar);
    this.#bars.delete(part);
    this.note(`✓ ${part}  ${duration(seconds)}${detail ? `  ${detail}` : ""}`);
  }

  whole(progress: WholeProgress): void {
    const { done, total } = progress;
    this.#whole ??= this.#all.create(total, 0, { part: "all parts".padEnd(20), text: "" });
    this.#whole.setTotal(total);
    this.#whole.update(done, { text: describeWhole(progress) });
  }

  note(text: string): void {
    this.#all.log(`${printable(text)}\n`);
    this.#all.update(); // at once: with its next drawing it would not come where no bar is left to draw
  }

  close(): void {
    this.#all.stop();
  }
}

class Lines implements ProgressDisplay {
  readonly #shown = new Map<string, number>();
  /** Which parts the newest line of the whole was about, and when it was written. */
  #whole = { parts: "", shown: 0 };

  start(part: string): void {
    this.#shown.set(part, performance.now());
    this.note(`${part}: started`);
  }

  update(part: string, progress: PartProgress): void {
    const now = performance.now();
    if (now - (this.#shown.get(part) ?? 0) < LINE_EVERY_SECONDS * 1000) return;
    this.#shown.set(part, now);
    this.note(`${part}: ${progress.done} of ${progress.total}, ${describe(progress)}`);
  }

  done(part: string, seconds: number, detail?: string): void {
    this.note(`${part}: done in ${duration(seconds)}${detail ? `, ${detail}` : ""}`);
  }

  whole(progress: WholeProgress): void {
    const now = performance.now();
    const parts = `${progress.done} ${progress.running}`;
    if (parts === this.#whole.parts && now - this.#whole.shown < LINE_EVERY_SECONDS * 1000) return;
    this.#whole = { parts, shown: now };
    this.note(describeWhole(progress));
  }

  note(text: string): void {
    tell(`${text}\n`);
  }

  close(): void {}
}
