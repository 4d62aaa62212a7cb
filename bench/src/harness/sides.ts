import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Peer } from "./peer.js";

/** A run of a bench that went wrong: a side failed, or the two disagree. */
export class BenchError extends Error {
  override name = "BenchError";
}

/** One of the two programs that a bench compares. It takes one JSON argument and prints one JSON line at its end. */
export interface Side {
  name: string;
  command: string;
  args: readonly string[];
}

export interface SideOptions {
  /** Of one operator, the same on both sides. */
  threads: number;
  [option: string]: unknown;
}

const folder = fileURLToPath(new URL("../..", import.meta.url));

/** `src/ours/SCRIPT.ts`, compiled. */
export function ours(script: string): Side {
  return { name: "ours", command: process.execPath, args: [join(folder, "dist", "ours", `${script}.js`)] };
}

/** `peers/SCRIPT.py` */
export function theirs(peer: Peer, script: string): Side {
  return { name: "peer", command: peer.python, args: [join(folder, "peers", `${script}.py`)] };
}

/** What a process printed, and the seconds from its start to that line. */
export interface Outcome<T> {
  result: T;
  seconds: number;
}

export interface RunOptions {
  /** More variables, beside those that set the number of threads. */
  environment?: Readonly<Record<string, string>>;
  /** Is shown what it writes to standard error meanwhile. */
  onProgress?: (text: string) => void;
}

/**
 * Runs one side in a process of its own.
 * @throws BenchError with what it wrote to standard error
 */
export function runSide<T>(
  { name, command, args }: Side,
  options: SideOptions,
  { environment = {}, onProgress = () => {} }: RunOptions = {},
): Promise<Outcome<T>> {
  const threads = String(options.threads);
  const env = {
    ...process.env,
    OMP_NUM_THREADS: threads,
    MKL_NUM_THREADS: threads,
    ASVR_DEVICE: "cpu",
    ...environment,
  };
  const started = performance.now();
  const child = spawn(command, [...args, JSON.stringify(options)], { stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  let errors = "";
  let seconds = 0;
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    seconds = (performance.now() - started) / 1000;
    output += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk;
    onProgress(chunk);
  });
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => {
      const said = errors.trim().split("\n").slice(-30).join("\n");
      reject(new BenchError(`${name}: ${command} ${args.join(" ")} ${reason}${said && `; it wrote:\n${said}`}`));
    };
    child.on("error", (error) => fail(`cannot be run: ${error.message}`));
    child.on("close", (code, signal) => {
      if (code !== 0) fail(signal ? `was killed by ${signal}` : `ended with status ${code}`);
      else {
        try {
          resolve({ result: JSON.parse(output) as T, seconds });
        } catch {
          fail(`printed no JSON: ${output.slice(0, 200)}`);
        }
      }
    });
  });
}

/** Runs both sides by turns, ours first in every round: what else the machine does hits both. */
export async function byTurns<Ours, Theirs>(
  rounds: number,
  sides: { ours: () => Promise<Ours>; peer: () => Promise<Theirs> },
  onRound: (round: number, figures: { ours: Ours; peer: Theirs }) => void = () => {},
): Promise<{ ours: Ours; peer: Theirs }[]> {
  const figures: { ours: Ours; peer: Theirs }[] = [];
  for (let round = 0; round < rounds; round++) {
    const figure = { ours: await sides.ours(), peer: await sides.peer() };
    figures.push(figure);
    onRound(round, figure);
  }
  return figures;
}

/**
 * Both sides must have computed the same.
 * @param tolerance relative to the peer's
 * @throws BenchError that names both values
 */
export function requireEqual(what: string, ours: number, peer: number, tolerance: number): void {
  if (Math.abs(ours - peer) <= tolerance * Math.abs(peer)) return; // false for NaN too
  throw new BenchError(
    `${what} is ${ours} here and ${peer} there, further apart than ${tolerance} of it: the two sides do not compute the ` +
      "same, so their times say nothing.",
  );
}
