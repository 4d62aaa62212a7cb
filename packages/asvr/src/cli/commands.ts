import type { Command } from "commander";
import { attentionCommand } from "./attention.js";
import { dataCommand } from "./data.js";
import { doctorCommand } from "./doctor.js";
import { evalCommand } from "./eval.js";
import { microCommand } from "./micro.js";
import { reportCommand } from "./report.js";
import { reproduceCommand } from "./reproduce.js";
import { trainCommand } from "./train.js";

/** Every command, in the order of the help. */
export function allCommands(): Command[] {
  return [
    reproduceCommand(),
    trainCommand(),
    evalCommand(),
    reportCommand(),
    attentionCommand(),
    dataCommand(),
    microCommand(),
    doctorCommand(),
  ];
}

/** Those that do something: a command that only groups others is replaced by them. */
export function leafCommands(): Command[] {
  return allCommands().flatMap((command) => (command.commands.length > 0 ? command.commands : [command]));
}
