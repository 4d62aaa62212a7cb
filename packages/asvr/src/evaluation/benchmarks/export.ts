/** Answers in the formats of other evaluation suites and of test servers. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import writeExcel from "write-excel-file/node";
import { ConfigError } from "../../errors.js";
import { letterOf } from "../scoring/options.js";
import type { Benchmark } from "./benchmark.js";
import type { BenchmarkPrediction } from "./predictions.js";
import { benchmarkOf } from "./score.js";

export type ExportFormat = "lmms-eval" | "vlmevalkit" | "submission";

/**
 * Writes the predictions of one benchmark.
 * @param model names the model in the files
 * @returns the file
 * @throws ConfigError for a submission to a benchmark that has no test server
 */
export async function exportPredictions(
  predictions: readonly BenchmarkPrediction[],
  format: ExportFormat,
  folder: string,
  model = "model",
): Promise<string> {
  const benchmark = benchmarkOf(predictions);
  await mkdir(folder, { recursive: true });
  switch (format) {
    case "lmms-eval":
      return writeJson(join(folder, `${benchmark.elsewhere.lmmsEval}.json`), lmmsLog(benchmark, predictions, model));
    case "vlmevalkit": {
      const rows = predictions.map((prediction) => vlmEvalKitRow(prediction));
      return writeTable(join(folder, `${model}_${benchmark.elsewhere.vlmEvalKit}.xlsx`), rows);
    }
    case "submission":
      return writeSubmission(benchmark, predictions, folder);
  }
}

/** The log that lmms-eval's model `from_log` answers from; `doc_id` is the row of the data set. */
function lmmsLog({ elsewhere }: Benchmark, predictions: readonly BenchmarkPrediction[], model: string): unknown {
  return {
    args: { model, model_args: "", limit: null },
    model_configs: { task: elsewhere.lmmsEval },
    logs: predictions.map(({ place, prompt, answer, extracted, gold }) => ({
      doc_id: place,
      target: gold,
      arguments: prompt,
      resps: [[answer]],
      filtered_resps: [extracted ?? ""],
    })),
  };
}

type Cells = Record<string, string | number>;

/** A row of VLMEvalKit's prediction files: its data set's columns that scoring needs, and `prediction`. */
function vlmEvalKitRow({ id, place, question, gold, answer }: BenchmarkPrediction): Cells {
  const { category, subcategory, visual_input, set_id, figure_id, question_id, pair, type } = question as Partial<
    Record<string, string>
  >;
  const row: Cells = { index: /^\d+$/.test(id) ? Number(id) : place, question: String(question.question) };
  Object.assign(row, lettered(question.options));
  row.answer = Array.isArray(question.answers) ? pythonList(question.answers as string[]) : (gold ?? "");
  const group = category ?? type;
  if (group !== undefined) row.category = group;
  if (pair !== undefined) row.image_path = pair; // pairs are found by their picture
  if (subcategory !== undefined) {
    row.index = [category, subcategory, visual_input || "1", set_id, figure_id, question_id].join("_");
    row["l2-category"] = `${category}_${subcategory}`;
  }
  return { ...row, prediction: answer };
}

/** Options by letter, whether they are stored so or in order. */
function lettered(options: unknown): Record<string, string> {
  if (!Array.isArray(options)) return (options ?? {}) as Record<string, string>;
  return Object.fromEntries(options.map((option, index) => [letterOf(index), String(option)]));
}

function pythonList(texts: readonly string[]): string {
  return `[${texts.map((text) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`).join(", ")}]`;
}

/** What the test servers of DocVQA and MMBench take. */
async function writeSubmission(
  { name }: Benchmark,
  predictions: readonly BenchmarkPrediction[],
  folder: string,
): Promise<string> {
  if (name === "docvqa") {
    const answers = predictions.map(({ id, answer }) => ({ questionId: Number(id), answer }));
    return writeJson(join(folder, "docvqa_test_submission.json"), answers);
  }
  if (name === "mmbench") {
    const rows = predictions.map(({ id, question, answer }): Cells => {
      const { question: text, hint, options, category, l2Category } = question as Record<string, unknown>;
      const letters = Object.fromEntries(
        [..."ABCD"].map((letter) => [letter, (options as Record<string, string>)[letter] ?? ""]),
      );
      return {
        index: Number(id),
        question: String(text),
        hint: String(hint),
        ...letters,
        prediction: answer,
        category: String(category),
        "l2-category": String(l2Category),
      };
    });
    return writeTable(join(folder, "mmbench_en_test_submission.xlsx"), rows);
  }
  throw new ConfigError(`${name} has no test server: --export submission is for docvqa and mmbench`);
}

async function writeJson(file: string, value: unknown): Promise<string> {
  await writeFile(file, `${JSON.stringify(value, null, 1)}\n`);
  return file;
}

async function writeTable(file: string, rows: readonly Cells[]): Promise<string> {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => columns.map((column) => cell(row[column] ?? "")));
  await writeExcel([columns.map(cell), ...cells]).toFile(file);
  return file;
}

function cell(value: string | number) {
  return typeof value === "number" ? { value, type: Number } : { value, type: String };
}
