import { Command, CommanderError } from "commander";
import { ConfigError } from "../errors.js";
import { RunFolderError } from "../report/run-folder.js";
import { isInterruption } from "../training/trainer.js";
import { allCommands } from "./commands.js";

/** Exit statuses: 0 done, 1 the run failed, 2 the call was wrong, 130 stopped with Ctrl-C after saving. */
export async function run(argv: readonly string[]): Promise<void> {
  const program = new Command("asvr")
    .description("Train, evaluate and explain vision-language models that reconstruct the meaning of what they see.")
    .version("0.1.0");
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
    process.exitCode = report(error);
  }
}

/** Says what went wrong in the fewest lines that help, and gives the exit status. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  if (!(error instanceof Error)) {
    process.stderr.write(`${String(error)}\n`);
    return 1;
  }
  if (isInterruption(error)) {
    process.stderr.write(`${error.message}\n`);
    return 130;
  }
  process.stderr.write(`${error.name}: ${error.message}\n`);
  if (unexpected.has(error.name)) process.stderr.write(`${error.stack}\n`);
  return error instanceof ConfigError || error instanceof RunFolderError ? 2 : 1;
}

/** Errors of the program itself: their stack is what a bug report needs. */
const unexpected = new Set(["TypeError", "ReferenceError", "RangeError", "TorchError", "DisposedError", "ShapeError"]);
