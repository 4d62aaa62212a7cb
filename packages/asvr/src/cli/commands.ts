import { Command } from "commander";
import { ConfigError } from "../errors.js";
import { DEFAULT_MICRO_SIZES } from "../micro/sizes.js";
import { THINGS_NAMES } from "../micro/things.js";
import { baselines } from "../recipes/baselines.js";
import { allRows } from "../recipes/table1.js";
import { DEFAULT_STUDY } from "../studies/study-folder.js";
import { type BenchmarkOptions, scoreCommand, withBenchmarkOptions } from "./benchmark-commands.js";
import { chatCommand, serveCommand } from "./chat-commands.js";
import { checkpointCommands } from "./checkpoint-commands.js";
import type { CheckOptions } from "./data.js";
import { figureCommands } from "./figure-commands.js";
import type { WorldOptions } from "./micro.js";
import { withOpeningOptions } from "./opening.js";
import { collect, positive, wholeNumber } from "./options.js";
import { recipesCommand } from "./recipes-command.js";
import type { ReportOptions } from "./report.js";
import type { ReproduceOptions } from "./reproduce.js";
import type { TrainOptions } from "./train.js";

// What can be said on the command line. What a command does is in the file of its name, which is loaded when it is
// called: so help, version and `asvr setup` need neither libtorch nor the time to load it.

type Json = { json: boolean };

/** Every command, in the order of the help. */
export function allCommands(): Command[] {
  return [
    reproduceCommand(),
    recipesCommand(),
    trainCommand(),
    evalCommand(),
    scoreCommand(),
    reportCommand(),
    ...figureCommands(),
    chatCommand(),
    serveCommand(),
    dataCommand(),
    microCommand(),
    ...checkpointCommands(),
    setupCommand(),
    doctorCommand(),
  ];
}

/** The commands that do something: one that only groups others is replaced by them. */
export function leafCommands(): Command[] {
  return allCommands().flatMap((command) => (command.commands.length > 0 ? command.commands : [command]));
}

function reproduceCommand(): Command {
  return new Command("reproduce")
    .description("run a table of the paper: every part, every row, every seed, then the report")
    .argument("<table>", "table1, table2 … table10, or all")
    .option(
      "--scale <scale>",
      "micro: the embedded world, minutes on a CPU; small: SmolLM2-135M over it, an hour; paper: --plan only",
      "micro",
    )
    .option("--rows <rows>", "rows by id, with commas, or all; default: all, of table1 those of the demo")
    .option("--seeds <count>", "seeds of each row: 0 to count-1 (default: 1)", positive)
    .option("--steps <steps>", "tuning steps of each row; pretraining has an eighth of them", positive)
    .option("--quick", "every part in under two minutes; the scores mean nothing", false)
    .option("--settings <file>", "sizes and steps of every part, as the settings.json of a study's folder")
    .option(
      "--out <folder>",
      "run folder (default: runs/demo, runs/table2 …, runs/small with --scale small, runs/quick with --quick)",
    )
    .option("--jobs <count>", "parts that run side by side (default: one for each core)", positive)
    .option("--shared-seed <seed>", "draws the world and the shared parts (default: 0)", wholeNumber)
    .option("--matmul <dtype>", "of matrix products: float32, bfloat16, or auto, whichever is faster here", "auto")
    .option("--plan", "show what would run, in what order, from what, and what is missing; run nothing", false)
    .option("--fresh", "make parts again that the folder holds with other settings", false)
    .option(
      "--record [name]",
      "keep the finished tables in docs/results as NAME.json and NAME.md (default: the table's name)",
    )
    .option("--json", "print the tables as one JSON object", false)
    .addHelpText(
      "after",
      `
The same command goes on where it was stopped. Rows of table1: ${allRows.join(", ")}.
Other tables have the paper's rows: asvr recipes lists them. At micro scale table1, table2 and table8 run.

Examples:
  asvr reproduce table1 --scale micro --rows llava,asvr --seeds 3 --out runs/three-seeds
  asvr reproduce table8 --scale micro --seeds 3
  asvr reproduce all --scale paper --plan`,
    )
    .action(async (table: string, options: ReproduceOptions) =>
      (await import("./reproduce.js")).reproduce(table, options),
    );
}

function trainCommand(): Command {
  return new Command("train")
    .description("train one recipe through its stages, on the micro world or on your own pictures and questions")
    .argument("<recipe>", "tableN/ROW, micro/ROW or small/ROW")
    .requiredOption("--out <folder>", "run folder")
    .option("--scale <scale>", "micro, or small: SmolLM2-135M as language model", "micro")
    .option("--seed <seed>", "draws initialisations and the order of the data", wholeNumber, 0)
    .option("--set <path=value>", "override one setting of the recipe; may be repeated", collect, [])
    .option("--max-bad <count>", "of your own records, faulty ones that may be left out", wholeNumber, 0)
    .option("--json", "print losses, seconds, counts and paths of what was written as one JSON object", false)
    .addHelpText(
      "after",
      `
Your own data: data.tuning is a LLaVA-format file of questions with answers, data.images the folder of its pictures;
data.captions, if given, is a file of captions for pretraining. startFrom is the folder of a study, for its encoder, tokenizers
and language model (default: ${DEFAULT_STUDY}, made first where that is missing); or a run, whose model is tuned further.
Data of all stages is looked at before anything is trained.

Examples:
  asvr train micro/asvr --seed 3 --set stages.tuning.steps=1600 --out runs/longer
  asvr train micro/asvr --set data.tuning=train.json --set data.images=pictures --set startFrom=runs/demo --out runs/mine`,
    )
    .action(async (recipe: string, options: TrainOptions) => (await import("./train.js")).train(recipe, options));
}

function evalCommand(): Command {
  const command = new Command("eval")
    .description("ask a trained run questions, and score its answers by exact match; or ask benchmarks")
    .argument(
      "[run]",
      "run folder, as runs/demo/asvr-s0; with --data or --benchmarks any checkpoint, or none with --endpoint",
    )
    .option("--data <path>", "LLaVA-format questions with answers (default: the micro world's test sets)")
    .option("--images <folder>", "where their pictures are")
    .option("--name <name>", "names the folder of answers and scores, where --out does not (default: the file's name)")
    .option(
      "--baseline <checkpoint>",
      "another run or checkpoint that is asked --data too: the difference, with interval and test",
    )
    .option("--max-bad <count>", "faulty records that may be left out", wholeNumber, 0)
    .option("--max-new-tokens <count>", "longest answer to a question of --data", positive, 64)
    .option("--json", "print the scores as one JSON object", false);
  return withOpeningOptions(withBenchmarkOptions(command))
    .addHelpText(
      "after",
      `
Examples:
  asvr eval runs/demo/asvr-s0
  asvr eval runs/mine --data test.json --images pictures
  asvr eval llava-1.5-7b-hf --data test.json --images pictures --baseline runs/mine --out compared
  asvr eval llava-1.5-7b-hf --benchmarks pope,mme --data benchmarks
  asvr eval --benchmarks pope,mme --data benchmarks --endpoint http://localhost:8000/v1 --model llava --limit 100`,
    )
    .action(async (run: string | undefined, options: BenchmarkOptions) => {
      if (options.benchmarks !== undefined) {
        await (await import("./benchmark-eval.js")).evaluateBenchmarks(run, options);
        return;
      }
      if (run === undefined) throw new ConfigError("missing required argument 'run' (only --benchmarks goes without)");
      await (await import("./eval.js")).evaluate(run, options);
    });
}

function reportCommand(): Command {
  return new Command("report")
    .description(
      "write report.html, report.md and tables.json of studies again, or print them beside the paper's tables",
    )
    .argument("<folders...>", "run folders of studies, as runs/demo")
    .option("--format <format>", "print the paper's table and ours beside it: markdown, html, latex or json")
    .option("--json", "print the tables as JSON: an object, of several studies an array of them", false)
    .addHelpText("after", "\nExamples:\n  asvr report runs/demo\n  asvr report runs/demo runs/table8 --format latex")
    .action(async (folders: string[], options: ReportOptions) =>
      (await import("./report.js")).report(folders, options),
    );
}

function dataCommand(): Command {
  const { maxLength } = baselines.micro.data;
  const check = new Command("check")
    .description("look at every record and every picture of LLaVA-format data, without training")
    .argument("<file>", "a JSON array of records, or one record a line in a file that ends in .jsonl")
    .option("--images <folder>", "where the pictures are")
    .option("--max-length <tokens>", "longest record, its picture's tokens counted", positive, maxLength)
    .option("--max-bad <count>", "faulty records that are no failure", wholeNumber, 0)
    .option("--json", "print {records, pictures, bad, faults: [{file, index, field, kind, message}]}", false)
    .addHelpText(
      "after",
      `
Ends with 1 when more than --max-bad records are faulty.

Example:
  asvr data check train.json --images pictures`,
    )
    .action(async (file: string, options: CheckOptions) => (await import("./data.js")).checkData(file, options));
  return new Command("data").description("a user's own records and pictures").addCommand(check);
}

function microCommand(): Command {
  const build = new Command("build")
    .description("write the micro world: pictures, LLaVA-format records, tokenizer, manifest with licences")
    .requiredOption("--out <folder>", "folder to make")
    .option("--seed <seed>", "draws everything; equal seeds give equal bytes", wholeNumber, 0)
    .option("--things <set>", `what can stand in a scene: ${THINGS_NAMES.join(" or ")}`, "standard")
    .option("--train <count>", "training pictures", positive, DEFAULT_MICRO_SIZES.train)
    .option("--test <count>", "test pictures with drawings seen in training", positive, DEFAULT_MICRO_SIZES.test)
    .option("--novel <count>", "test pictures with unseen drawings", positive, DEFAULT_MICRO_SIZES.novel)
    .option("--encoder <count>", "pictures that the encoder learns from", positive, DEFAULT_MICRO_SIZES.encoder)
    .option("--text <count>", "scenes that are only told", positive, DEFAULT_MICRO_SIZES.text)
    .option("--json", "print the manifest as one JSON object", false)
    .addHelpText("after", "\nExample:\n  asvr micro build --out data/micro --seed 1")
    .action(async (options: WorldOptions) => (await import("./micro.js")).buildWorld(options));
  return new Command("micro").description("the embedded world of pictures and questions").addCommand(build);
}

function setupCommand(): Command {
  return new Command("setup")
    .description("find or install libtorch and build the addon; needed once after an install")
    .option("--json", "print what was found and built as one JSON object", false)
    .addHelpText("after", "\nExample:\n  asvr setup")
    .action(async (options: Json) => (await import("./setup.js")).setUp(options));
}

function doctorCommand(): Command {
  return new Command("doctor")
    .description("show which libtorch, device, threads and versions are used, and whether they work")
    .option("--json", "print one JSON object", false)
    .addHelpText("after", "\nExample:\n  asvr doctor")
    .action(async (options: Json) => (await import("./doctor.js")).doctor(options));
}
