import { z } from "zod";
import { type Confusion, confusion, f1Part, ratio, type YesNoItem } from "../scoring/confusion.js";
import { type Part, valuesBy } from "../scoring/shares.js";
import { firstWordYesNo, notNo, strictYesNo, wordYesNo, type YesNo } from "../scoring/yes-no.js";
import { mean } from "../statistics.js";
import { type Answered, defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { SINGLE_WORD } from "./prompts.js";

interface PopeQuestion {
  question: string;
  answer: "yes" | "no";
  /** adversarial, popular or random: how the absent objects were chosen. */
  category: string;
  image: string;
}
type Item = Answered<PopeQuestion>;

function protocol(
  read: (answer: string) => YesNo,
  parts?: (items: readonly (YesNoItem & { category: string })[]) => Part[],
  unread: "no" | "nothing" = "no",
): Protocol<PopeQuestion> {
  return {
    read,
    score: (said, { answer }) => (said === answer ? 1 : 0),
    ...(parts && { parts: (items: readonly Item[]) => parts(yesNoItems(items)) }),
    values: (items) => {
      const all = yesNoItems(items);
      const byCategory = valuesBy(
        all,
        ({ category }) => category,
        (group) => confusion(group, unread),
      );
      const { accuracy, precision, recall, f1 } = percent(confusion(all, unread));
      const scores = Object.entries(byCategory).map(([name, { f1 }]): [string, number] => [`f1 ${name}`, 100 * f1]);
      return {
        accuracy,
        precision,
        recall,
        f1,
        "mean f1": mean(scores.map(([, value]) => value)),
        ...Object.fromEntries(scores),
        "said yes": 100 * ratio(all.filter(({ said }) => said === "yes").length, all.length),
      };
    },
  };
}

function yesNoItems(items: readonly Item[]): (YesNoItem & { category: string })[] {
  return items.flatMap(({ cluster, question, read }) =>
    question.category
      .split(",") // in one published form a row belongs to several categories
      .map((category) => ({ cluster, category, gold: question.answer, said: read as YesNo })),
  );
}

function percent({
  accuracy,
  precision,
  recall,
  f1,
}: Confusion): Record<"accuracy" | "precision" | "recall" | "f1", number> {
  return { accuracy: 100 * accuracy, precision: 100 * precision, recall: 100 * recall, f1: 100 * f1 };
}

/** The mean of the categories' F1, as LLaVA's paper reports it. */
function meanF1(items: readonly (YesNoItem & { category: string })[]): Part[] {
  const groups = Object.values(
    valuesBy(
      items,
      ({ category }) => category,
      (group) => group,
    ),
  );
  return groups.map((group) => f1Part(group, 100 / groups.length));
}

const yesOrNo = z
  .string()
  .transform((text) => text.trim().toLowerCase())
  .pipe(z.enum(["yes", "no"]));

export const pope = defineBenchmark<PopeQuestion>({
  name: "pope",
  title: "POPE",
  about: "Is the named object in the picture? (Li et al., 2023)",
  source: "Table 1; prompt from Table 5",
  elsewhere: { lmmsEval: "pope", vlmEvalKit: "POPE" },
  data: {
    hub: "lmms-lab/POPE",
    otherHubs: ["lmms-lab-encoder/POPE"],
    split: "test",
    rows: 9000,
    otherRows: [8910], // LLaVA's
    files: ["POPE.tsv"],
    pictures: ["image"],
  },
  shapes: [
    shape(
      {
        question_id: idColumn,
        question: z.string().min(1),
        answer: yesOrNo,
        category: z.string().min(1),
        image_source: z.string().min(1),
      },
      ({ question_id, question, answer, category, image_source }) => ({
        id: `${category}-${question_id}`,
        question: { question, answer, category, image: image_source },
      }),
    ),
    shape(
      { index: idColumn, question: z.string().min(1), answer: yesOrNo, category: z.string().min(1) },
      ({ index, question, answer, category }) => ({ id: index, question: { question, answer, category, image: "" } }),
    ),
  ],
  ask: { default: ({ question }) => `${question}\n${SINGLE_WORD}` },
  maxNewTokens: 128,
  gold: ({ answer }) => (answer === "yes" ? "Yes" : "No"),
  cluster: ({ image }, _id, picture) => image || picture,
  categories: { category: ({ category }) => category },
  protocols: {
    default: protocol(firstWordYesNo),
    cambrian: protocol(firstWordYesNo),
    llava: protocol(notNo, meanF1),
    "lmms-eval": protocol(strictYesNo, undefined, "nothing"),
    vlmevalkit: protocol(wordYesNo, (items) => [f1Part(items, 100)]),
  },
  printed: { llava: 85.9, asvr: 86.3 },
});
