import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import type { DataError } from "../errors.js";
import { firstFailure } from "../failure.js";
import { allCommands } from "./commands.js";
import { printJson } from "./options.js";
import { tell } from "./printable.js";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

/** Exit statuses: 0 done, 1 the run failed, 2 the call was wrong, 130 stopped with Ctrl-C after saving. */
export async function run(argv: readonly string[]): Promise<void> {
  const program = new Command("asvr")
    .description("Train, evaluate and explain vision-language models that reconstruct the meaning of what they see.")
    .version(version);
  const commands = allCommands();
  for (const command of commands) program.addCommand(command);
  for (const command of [program, ...commands, ...commands.flatMap(({ commands: sub }) => sub)]) {
    command.exitOverride().showHelpAfterError("(--help shows the options and an example)");
  }
  // Who reads the output may have seen enough (`asvr report … | head`).
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  try {
    await program.parseAsync(argv as string[]);
  } catch (error) {
    const status = report(error);
    if (status !== 0 && argv.includes("--json")) printJson({ error: { ...failureOf(error), status } });
    process.exitCode = status;
  }
}

/** Says what went wrong in the fewest lines that help, and gives the exit status. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  const { name, message } = failureOf(error);
  if (interruptions.has(name)) {
    tell(`${message}\n`);
    return 130;
  }
  tell(`${name}: ${message}\n`);
  if (unexpected.has(name)) tell(`${firstFailure(error).stack ?? ""}\n`);
  return wrongCalls.has(name) ? 2 : 1;
}

/** What is told of an error, in words and with `--json`: of bad data, each fault too. */
function failureOf(error: unknown): { name: string; message: string; faults?: DataError["faults"] } {
  const failure = firstFailure(error);
  if (failure instanceof CommanderError) {
    return { name: "UsageError", message: failure.message.replace(/^error: /, "") };
  }
  const { name, message, faults = [] } = failure as DataError;
  return {
    name,
    // The engine names its own command, which npx finds only where the package manager shows it to a project.
    message: message.replaceAll("npx @asvr/torch setup", "npx asvr setup"),
    ...(faults.length > 0 && { faults }),
  };
}

// By name: the classes would load what most of a command's time goes into.
const interruptions = new Set(["Interrupted", "AbortError"]);
const wrongCalls = new Set(["ConfigError", "RunFolderError"]);

/** Errors of the program itself: their stack is what a bug report needs. */
const unexpected = new Set(["TypeError", "ReferenceError", "RangeError", "TorchError", "DisposedError", "ShapeError"]);
