/** Records of the prompt goldens, which hold only what Cambrian's prompts need, as rows that our shapes can read. */
import { benchmarkNamed } from "./all.js";
import { userTurn } from "./benchmark.js";

const names: Readonly<Record<string, string>> = { mmbench_en: "mmbench" };

/** Columns that no prompt shows. */
const unseen: Readonly<Record<string, Record<string, unknown>>> = {
  textvqa: { question_id: 1, answers: ["a"], image_id: "a" },
  docvqa: { questionId: "1", answers: ["a"] },
  ocrbench: { dataset: "d", question_type: "t", answer: ["a"] },
  chartqa: { type: "human_test", answer: "a" },
  mmbench: { index: 1, answer: "A", category: "c" },
  mme: { question_id: "1", answer: "Yes", category: "count" },
  seed: { question_id: "1", question_type_id: 1, answer: "A" },
  gqa: { id: "1", imageId: "1", answer: "a" },
  mmmu: { id: "validation_Art_1", answer: "A" },
  ai2d: { answer: "0" },
  realworldqa: { answer: "A" },
  mmvp: { Index: 1, "Correct Answer": "(a)" },
  hallusionbench: {
    category: "VD",
    subcategory: "ocr",
    set_id: "0",
    figure_id: "0",
    question_id: "0",
    gt_answer: "1",
  },
  pope: { question_id: "1", answer: "yes", category: "random", image_source: "a" },
};

/** The user turn in Cambrian's words. */
export function promptOfRecord(golden: string, record: Readonly<Record<string, unknown>>): string {
  const benchmark = benchmarkNamed(names[golden] ?? golden);
  const { question, options } = record;
  const row = {
    ...unseen[benchmark.name],
    ...record,
    ...(benchmark.name === "mmvp" && { Question: question, Options: options }),
  };
  const shape = benchmark.shapes.find(({ columns }) => columns.every((column) => column in row))!;
  return userTurn(benchmark, shape.read(row, 0).question, "cambrian");
}
