import { runtimeInfo } from "@asvr/torch";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { decode } from "./benches/decode.js";
import { demo } from "./benches/demo.js";
import { evaluation } from "./benches/eval.js";
import { head } from "./benches/head.js";
import { microStep } from "./benches/micro-step.js";
import { operators } from "./benches/operators.js";
import { serve } from "./benches/serve.js";
import { startup } from "./benches/startup.js";
import type { BenchContext, BenchResult } from "./harness/bench.js";
import { findPeer } from "./harness/peer.js";
import { rounded } from "./harness/statistics.js";
import { formatTable, shown } from "./harness/table.js";

interface Options {
  runs: number;
  threads?: number;
  json: boolean;
  [option: string]: unknown;
}

interface Bench {
  name: string;
  measures: string;
  runs: number;
  /** Default; none where the number is not to be chosen. */
  threads?: number;
  run?: (context: BenchContext, options: Options) => Promise<BenchResult>;
  /** In the place of `run` where there is no peer: what is compared is both ours. */
  runAlone?: (context: Omit<BenchContext, "peer">, options: Options) => Promise<BenchResult>;
  options?: (command: Command) => Command;
}

const benches: readonly Bench[] = [
  { name: "operators", measures: "cost of a call of small operators", runs: 5, threads: 1, run: operators },
  {
    name: "micro-step",
    measures: "a training step of the micro vision-language model",
    runs: 5,
    threads: 1,
    options: (command) => command.option("--steps <count>", "steps of a process that are timed", positive, 40),
    run: (context, { steps }) => microStep(context, { steps: steps as number }),
  },
  {
    name: "startup",
    measures: "from the start of a process to the end of its first step",
    runs: 5,
    threads: 1,
    run: startup,
  },
  {
    name: "head",
    measures: "loss and gradients of the visual head at the paper's size: time and memory",
    runs: 5,
    threads: 2,
    run: head,
  },
  {
    name: "decode",
    measures: "time of a token that a LLaVA of random weights answers, beside Hugging Face transformers",
    runs: 3,
    threads: 2,
    options: (command) =>
      command
        .addOption(new Option("--size <size>", "of the language model").choices(["tiny", "1b", "7b"]).default("1b"))
        .option("--tokens <count>", "tokens of the answer", positive, 48)
        .option("--checkpoint <folder>", "where the weights are, or are written to; default: a temporary folder"),
    run: (context, { size, tokens, checkpoint }) =>
      decode(context, {
        size: size as "tiny" | "1b" | "7b",
        tokens: tokens as number,
        ...(checkpoint !== undefined && { checkpoint: checkpoint as string }),
      }),
  },
  {
    name: "serve",
    measures: "requests with pictures to asvr serve: many at once beside one by one, and memory over many",
    runs: 3,
    threads: 1,
    options: (command) =>
      command
        .option("--requests <count>", "requests over which memory is watched", positive, 1000)
        .option("--tokens <count>", "tokens of an answer", positive, 32)
        .addOption(new Option("--dtype <dtype>", "of the model").choices(["float32", "bfloat16"]).default("float32")),
    runAlone: (context, { requests, tokens, dtype }) =>
      serve(context, {
        requests: requests as number,
        tokens: tokens as number,
        dtype: dtype as "float32" | "bfloat16",
      }),
  },
  {
    name: "eval",
    measures: "questions about pictures, several of each, beside Hugging Face transformers with one at a time",
    runs: 3,
    threads: 2,
    options: (command) =>
      command
        .option("--pictures <count>", "pictures of the set", positive, 8)
        .option("--questions <count>", "questions of each picture", positive, 6)
        .option("--tokens <count>", "tokens of each answer", positive, 16),
    run: (context, { pictures, questions, tokens }) =>
      evaluation(context, {
        pictures: pictures as number,
        questions: questions as number,
        tokens: tokens as number,
      }),
  },
  {
    name: "demo",
    measures: "wall time of the whole demo against a peer that trains the same recipes",
    runs: 1,
    options: (command) => command.option("--quick", "the quick settings: a smoke test of both sides", false),
    run: (context, { quick }) => demo(context, { quick: quick as boolean }),
  },
];

function program(): Command {
  const all = new Command("npm run bench --")
    .description("Measures asvr against plain Python with the same torch (PEER_PYTHON, or python3). Lower is better.")
    .addHelpText("after", "\nWhat each bench does exactly: bench/README.md");
  for (const bench of benches) {
    const command = all
      .command(bench.name)
      .description(bench.measures)
      .option("--runs <count>", "rounds; both sides run in each, by turns", positive, bench.runs)
      .option("--json", "print one JSON object as the last line", false);
    if (bench.threads !== undefined)
      command.option("--threads <count>", "threads of one operator, on both sides", positive, bench.threads);
    bench.options?.(command);
    command.action((options: Options) => measure(bench, options));
  }
  for (const command of [all, ...all.commands])
    command.exitOverride().showHelpAfterError("(--help shows what there is)");
  return all;
}

async function measure({ name, run, runAlone }: Bench, options: Options): Promise<void> {
  const note = (text: string) => void process.stderr.write(`${name}: ${text}\n`);
  const { runs: rounds, threads = 1 } = options;
  const context = { rounds, threads, note };
  const versions = `Node ${process.versions.node} with libtorch ${runtimeInfo().libtorch}`;
  const peer = run && (await findPeer());
  note(peer ? `${versions}, Python with torch ${peer.torch}` : versions);
  const { ratio, parts, table } = peer ? await run({ peer, ...context }, options) : await runAlone!(context, options);
  if (options.json) {
    const result = { bench: name, ratio, parts: { ...parts, rounds, threads, ...(peer && { torch: peer.torch }) } };
    process.stdout.write(`${JSON.stringify(rounded(result))}\n`);
  } else {
    process.stdout.write(
      `${formatTable(table)}\n\n${name}: ${peer ? "ours / peer" : "together / one by one, in time"} = ${shown(ratio)}\n`,
    );
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("it must be a whole number of 1 or more.");
  return value;
}

/**
 * Says what went wrong. Exit statuses: 0 measured, 1 a side failed or the two disagree, 2 the call was wrong or there is
 * no peer.
 */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`${name}: ${message}\n`);
  if (name === "ConfigError") return 2;
  if (name !== "BenchError") process.stderr.write(`${stack}\n`);
  return 1;
}

/** Runs `npm run bench -- …`. @returns the exit status */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    await program().parseAsync(argv as string[]);
    return 0;
  } catch (error) {
    return report(error);
  }
}
