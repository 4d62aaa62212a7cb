import { z } from "zod";
import { cambrianLetter, lmmsLetterMmbench, vlmEvalKitLetter } from "../scoring/choices.js";
import { isGiven } from "../scoring/options.js";
import { allOf, each, share } from "../scoring/shares.js";
import {
  type Answered,
  defineBenchmark,
  idColumn,
  indexColumn,
  optionColumn,
  type Protocol,
  shape,
} from "./benchmark.js";
import { askForLetter, letterVerdict } from "./letter-judge.js";
import { givenOptions, letterLines, OPTION_LETTER } from "./prompts.js";

interface MmbenchQuestion {
  question: string;
  hint: string;
  options: Record<string, string>;
  /** A letter; empty in the test split. */
  answer: string;
  category: string;
  l2Category: string;
  /** Rotations of one question have it in common. */
  base: string;
  /** Cambrian's key of the same: text and source; the picture is added. */
  row: string;
}
type Item = Answered<MmbenchQuestion>;

/** Row INDEX is a rotation of row INDEX modulo this. */
const ROTATIONS = 1_000_000;

function protocol(
  letter: (answer: string, options: Record<string, string>) => string | undefined,
  groupOf: (item: Item) => string = ({ question }) => question.base,
): Protocol<MmbenchQuestion> {
  const groups = (items: readonly Item[]) => allOf(items, groupOf);
  return {
    read: (answer, { options }) => letter(answer, options),
    score: (said, { answer }) => (said.toUpperCase() === answer.toUpperCase() ? 1 : 0),
    parts: (items) => [{ scale: 100, units: groups(items) }],
    values: (items) => ({
      circular: 100 * share(groups(items)),
      plain: 100 * share(each(items)),
      groups: groups(items).length,
    }),
  };
}

const columns = {
  index: indexColumn, // a string in one version
  question: z.string().min(1),
  hint: optionColumn,
  A: optionColumn,
  B: optionColumn,
  C: optionColumn,
  D: optionColumn,
  answer: z
    .string()
    .regex(/^([A-D]|nan)?$/)
    .nullish(),
  category: z.string().nullish(),
  source: idColumn.nullish(),
  "l2-category": z.string().nullish(),
  "L2-category": z.string().nullish(),
};

export const mmbench = defineBenchmark<MmbenchQuestion>({
  name: "mmbench",
  title: "MMBench",
  about:
    "English multiple choice over twenty abilities; right only in every rotation of the options (Liu et al., 2023)",
  source: "Table 1; prompt from Table 5. The printed values fit circular accuracy only",
  elsewhere: { lmmsEval: "mmbench_en_dev", vlmEvalKit: "MMBench_DEV_EN" },
  data: {
    hub: "lmms-lab/MMBench_EN",
    otherHubs: ["lmms-lab-encoder/MMBench_EN", "lmms-lab/MMBench"],
    config: "en",
    split: "dev",
    rows: 4377,
    otherRows: [4329], // lmms-lab/MMBench
    unanswered: { test: null },
    files: ["MMBench_DEV_EN.tsv"],
    pictures: ["image"],
  },
  shapes: [
    shape(columns, (row) => {
      const { index, question, hint, A, B, C, D, answer, category, source } = row;
      return {
        id: String(index),
        question: {
          question,
          hint: isGiven(hint) ? hint : "",
          options: givenOptions({ A, B, C, D }),
          answer: isGiven(answer) ? answer : "",
          category: category ?? "none",
          l2Category: row["l2-category"] ?? row["L2-category"] ?? "none",
          base: String(index % ROTATIONS),
          row: `${question}\n${source ?? ""}`,
        },
      };
    }),
  ],
  ask: {
    default: ({ hint, question, options }) =>
      `${hint ? `${hint}\n` : ""}${question} Options:\n${letterLines(options)}\n${OPTION_LETTER}`,
    "lmms-eval": ({ hint, question, options }) =>
      `${hint ? `${hint} ` : ""}${question} There are several options:\n${letterLines(options)}\n\n${OPTION_LETTER}`,
    llava: ({ hint, question, options }) =>
      `${hint ? `${hint}\n` : ""}${question}\n${letterLines(options)}\n${OPTION_LETTER}`,
  },
  maxNewTokens: 512,
  maxNewTokensOf: { "lmms-eval": 1024 },
  gold: ({ answer }) => answer || undefined,
  cluster: ({ base }) => base,
  categories: { category: ({ category }) => category, "l2-category": ({ l2Category }) => l2Category },
  protocols: {
    default: protocol(cambrianLetter),
    cambrian: protocol(cambrianLetter, ({ question, picture }) => `${question.category}\n${question.row}\n${picture}`),
    "lmms-eval": protocol(lmmsLetterMmbench),
    vlmevalkit: protocol((answer, options) => vlmEvalKitLetter(answer, options)),
    "vlmevalkit-2025": protocol((answer, options) => vlmEvalKitLetter(answer, options, "2025")),
  },
  judged: {
    // VLMEvalKit's: a judge for what its rules do not read.
    name: "mmbench-judged",
    ...protocol((answer, options) => vlmEvalKitLetter(answer, options)),
    ask: (answer, question, read) => (read === undefined ? askForLetter(answer, question) : undefined),
    verdict: letterVerdict,
    worth: (verdict, { answer }) => (verdict === answer.toUpperCase() ? 1 : 0),
  },
  printed: { llava: 64.0, asvr: 66.1 },
});
