import { z } from "zod";
import { MME_CATEGORIES, type MmeHalf, type MmeItem, mmeCategories, mmeHalf, mmeParts } from "../scoring/mme.js";
import { startYesNo, wholeYesNo, wordYesNo, type YesNo } from "../scoring/yes-no.js";
import { type Answered, defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { SINGLE_WORD } from "./prompts.js";

interface MmeQuestion {
  question: string;
  answer: "yes" | "no";
  category: string;
  /** The two questions of a picture have it in common. */
  pair: string;
}

const answerColumn = z
  .string()
  .transform((text) => text.trim().toLowerCase().replaceAll(".", ""))
  .pipe(z.enum(["yes", "no"]));
const categories: readonly string[] = Object.values(MME_CATEGORIES).flat();
const categoryColumn = z.string().refine((text) => categories.includes(text), "it is none of MME's categories");

function protocol(
  read: (answer: string) => YesNo,
  halves: readonly MmeHalf[] = ["perception", "cognition"],
  divisor = 28,
): Protocol<MmeQuestion> {
  return {
    read,
    score: (said, { answer }) => (said === answer ? 1 : 0),
    parts: (items) => mmeParts(items.map(mmeItem), halves, divisor),
    values: (items) => {
      const table = mmeCategories(items.map(mmeItem));
      const perception = mmeHalf(table, "perception");
      const cognition = mmeHalf(table, "cognition");
      const scores = Object.entries(table).map(([category, { score }]) => [category, score]);
      return { sum: perception + cognition, perception, cognition, ...Object.fromEntries(scores) };
    },
  };
}

function mmeItem({ cluster, score, question }: Answered<MmeQuestion>): MmeItem {
  return { cluster, score, category: question.category, pair: question.pair };
}

export const mme = defineBenchmark<MmeQuestion>({
  name: "mme",
  title: "MME",
  about: "Two yes/no questions about each picture, fourteen categories of perception and cognition (Fu et al., 2023)",
  source:
    "Table 1, as the sum divided by 28 (the paper does not say; perception / 20 is Cambrian-1's); prompt from Table 5",
  elsewhere: { lmmsEval: "mme", vlmEvalKit: "MME" },
  data: {
    hub: "lmms-lab/MME",
    otherHubs: ["lmms-lab-encoder/MME"],
    split: "test",
    rows: 2374,
    files: ["MME.tsv"],
    pictures: ["image"],
  },
  shapes: [
    shape(
      { question_id: idColumn, question: z.string().min(1), answer: answerColumn, category: categoryColumn },
      ({ question_id, question, answer, category }, index) => ({
        id: String(index),
        question: { question, answer, category, pair: `${category}/${question_id}` },
      }),
    ),
    shape(
      {
        index: idColumn,
        image_path: z.string().min(1),
        question: z.string().min(1),
        answer: answerColumn,
        category: categoryColumn,
      },
      ({ index, image_path, question, answer, category }) => ({
        id: index,
        question: { question, answer, category, pair: `${category}/${image_path}` },
      }),
    ),
  ],
  ask: {
    default: ({ question }) => `${question}\n${SINGLE_WORD}`,
    "lmms-eval": ({ question }) => `${question.trim().replace(" Please answer yes or no.", "")}\n${SINGLE_WORD}`,
  },
  maxNewTokens: 32,
  maxNewTokensOf: { "lmms-eval": 16 },
  gold: ({ answer }) => (answer === "yes" ? "Yes" : "No"),
  cluster: ({ pair }) => pair,
  whole: { group: ({ pair }) => pair, size: 2 },
  protocols: {
    default: protocol(wholeYesNo),
    cambrian: protocol(wholeYesNo, ["perception"], 20),
    "lmms-eval": protocol(startYesNo),
    vlmevalkit: protocol(wordYesNo),
  },
  printed: { llava: 67.2, asvr: 72.8 },
});
