import { z } from "zod";
import { cambrianText, lmmsLetterMmvp, vlmEvalKitLetter } from "../scoring/choices.js";
import { letterOf, mmvpOptions } from "../scoring/options.js";
import { allOf, each, share } from "../scoring/shares.js";
import { type Answered, defineBenchmark, type Protocol, shape } from "./benchmark.js";
import { OPTION_LETTER, optionLines } from "./prompts.js";

interface MmvpQuestion {
  question: string;
  options: string[];
  /** a or b */
  answer: string;
  /** Rows 2k-1 and 2k are a pair. */
  pair: string;
}

function protocol(
  read: Protocol<MmvpQuestion>["read"],
  score: (said: string, question: MmvpQuestion) => boolean,
): Protocol<MmvpQuestion> {
  const pairs = (items: readonly Answered<MmvpQuestion>[]) => allOf(items, ({ question }) => question.pair);
  return {
    read,
    score: (said, question) => (score(said, question) ? 1 : 0),
    parts: (items) => [{ scale: 100, units: pairs(items) }],
    values: (items) => ({ pairs: 100 * share(pairs(items)), individual: 100 * share(each(items)) }),
  };
}

const isLetter = (said: string, { answer }: MmvpQuestion) => said.toLowerCase() === answer;
const isLetterOrText = (said: string, question: MmvpQuestion) =>
  said === question.answer || said === question.options["ab".indexOf(question.answer)]?.toLowerCase();
const cambrian = protocol((answer) => cambrianText(answer) || undefined, isLetterOrText);

const indexColumn = z.union([z.number().int().positive(), z.string().regex(/^\d+$/).transform(Number)]);
const columns = {
  Question: z.string().min(1),
  Options: z.string().refine((text) => mmvpOptions(text).length === 2, "it is not (a) … (b) …"),
  "Correct Answer": z.string().regex(/^\s*\([ab]\)\s*$/i),
};
type Columns = { Question: string; Options: string; "Correct Answer": string };

function asked(index: number, row: Columns) {
  const { Question: question, Options, "Correct Answer": correct } = row;
  return {
    id: String(index),
    question: {
      question,
      options: mmvpOptions(Options),
      answer: correct.replace(/[()\s]/g, "").toLowerCase(),
      pair: String(Math.ceil(index / 2)),
    },
    picturePath: `MMVP Images/${index}.jpg`,
  };
}

export const mmvp = defineBenchmark<MmvpQuestion>({
  name: "mmvp",
  title: "MMVP",
  about:
    "Pairs of pictures that CLIP takes for the same and people do not; a pair counts when both are right (Tong et al., 2024)",
  source: "Table 1; prompt from Table 5. The original answers; the parquet copy has two pairs corrected",
  elsewhere: { lmmsEval: "mmvp", vlmEvalKit: "MMVP" },
  data: {
    hub: "MMVP/MMVP",
    otherHubs: ["lmms-lab-eval/MMVP"],
    split: "train",
    rows: 300,
    files: ["Questions.csv"],
    pictures: ["image"],
  },
  // The header of the original file is misspelt in one version.
  shapes: [
    shape({ lndex: indexColumn, ...columns }, ({ lndex, ...row }) => asked(lndex, row)),
    shape({ Index: indexColumn, ...columns }, ({ Index, ...row }) => asked(Index, row)),
  ],
  ask: { default: ({ question, options }) => `${question} Options:\n${optionLines(options)}\n${OPTION_LETTER}` },
  maxNewTokens: 512,
  gold: ({ answer }) => answer.toUpperCase(),
  cluster: ({ pair }) => pair,
  whole: { group: ({ pair }) => pair, size: 2 },
  protocols: {
    default: cambrian,
    cambrian,
    "lmms-eval": protocol((answer) => lmmsLetterMmvp(answer) || undefined, isLetter),
    vlmevalkit: protocol(
      (answer, { options }) =>
        vlmEvalKitLetter(answer, Object.fromEntries(options.map((option, index) => [letterOf(index), option]))),
      isLetter,
    ),
  },
  printed: { llava: 28.7, asvr: 30.0 },
});
