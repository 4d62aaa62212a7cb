import { z } from "zod";
import {
  type HallusionItem,
  type HallusionPlace,
  type HallusionScores,
  hallusionCluster,
  hallusionParts,
  hallusionScores,
  judgedParts,
  judgedScores,
  type Verdict,
  verdictWorth,
} from "../scoring/hallusion.js";
import { anyYes, wordYesNo, type YesNo } from "../scoring/yes-no.js";
import { type Answered, defineBenchmark, idColumn, type JudgedProtocol, type Protocol, shape } from "./benchmark.js";
import { SINGLE_WORD } from "./prompts.js";

interface HallusionQuestion extends HallusionPlace {
  question: string;
  /** 0: none, 1: the original picture, 2: an edited one; empty where the data does not say. */
  visual_input: string;
  answer: "yes" | "no";
}

function protocol(read: (answer: string) => YesNo): Protocol<HallusionQuestion> {
  return {
    read,
    score: (said, { answer }) => (said === answer ? 1 : 0),
    parts: (items) => hallusionParts(items.map(hallusionItem)),
    values: (items) => percent(hallusionScores(items.map(hallusionItem))),
  };
}

function percent({ aAcc, fAcc, qAcc }: HallusionScores): Record<string, number> {
  return { aAcc: 100 * aAcc, fAcc: 100 * fAcc, qAcc: 100 * qAcc };
}

/** The benchmark's own: all answers are judged, against the right one. */
const judged: JudgedProtocol<HallusionQuestion> = {
  ...protocol(wordYesNo),
  name: "hallusion-judged",
  parts: (items) => judgedParts(items.map(hallusionItem)),
  values: (items) => percent(judgedScores(items.map(hallusionItem))),
  ask: (said, { question, answer }) =>
    [
      "Compare what a student said about a picture with the right answer.",
      `Question: ${question}`,
      `Right answer: ${answer}`,
      `The student said: ${said}`,
      "Reply with one word: CORRECT when it agrees with the right answer, INCORRECT when it contradicts it, UNCLEAR when " +
        "it commits itself to neither.",
    ].join("\n\n"),
  verdict: (reply) => {
    const [word] = /\b(incorrect|not correct|unclear|correct)\b/i.exec(reply) ?? [];
    if (word === undefined) return undefined;
    return word.toLowerCase() === "unclear" ? "2" : word.toLowerCase() === "correct" ? "1" : "0";
  },
  worth: (verdict, question) => verdictWorth(verdict as Verdict, question),
};

function hallusionItem({ cluster, score, question }: Answered<HallusionQuestion>): HallusionItem {
  return { ...question, cluster, score };
}

export const hallusionbench = defineBenchmark<HallusionQuestion>({
  name: "hallusionbench",
  title: "HallusionBench",
  about: "Yes/no questions about pictures that mislead, and their edited copies (Guan et al., 2024)",
  source: "Table 1, most likely the mean of aAcc, fAcc and qAcc; prompt from Table 5",
  elsewhere: { lmmsEval: "hallusion_bench_image", vlmEvalKit: "HallusionBench" },
  data: {
    hub: "lmms-lab/HallusionBench",
    otherHubs: ["lmms-lab-encoder/HallusionBench"],
    split: "image",
    rows: 951,
    files: ["HallusionBench.tsv"],
    pictures: ["image"],
  },
  shapes: [
    shape(
      {
        category: z.enum(["VD", "VS"]),
        subcategory: z.string().min(1),
        set_id: idColumn,
        figure_id: idColumn,
        question_id: idColumn,
        visual_input: idColumn.nullish(),
        question: z.string().min(1),
        gt_answer: idColumn.pipe(z.enum(["0", "1"])),
      },
      ({ gt_answer, question, visual_input, ...place }) => ({
        id: [place.category, place.subcategory, place.set_id, place.figure_id, place.question_id].join("_"),
        question: { ...place, visual_input: visual_input ?? "", question, answer: gt_answer === "1" ? "yes" : "no" },
      }),
    ),
    shape(
      {
        index: z.string().regex(/^[^_]+_[^_]+_[^_]+_[^_]+_[^_]+(_|$)/),
        question: z.string().min(1),
        answer: z
          .string()
          .transform((text) => text.toLowerCase())
          .pipe(z.enum(["yes", "no"])),
      },
      ({ index, question, answer }) => {
        const [category, subcategory, visual_input, set_id, figure_id, question_id] = withSixParts(index);
        return {
          id: index,
          question: { category, subcategory, visual_input, set_id, figure_id, question_id, question, answer },
        };
      },
    ),
  ],
  ask: {
    default: ({ question }) => `${question}\n${SINGLE_WORD}`,
    "lmms-eval": ({ question }) => question,
  },
  maxNewTokens: 128,
  gold: ({ answer }) => (answer === "yes" ? "Yes" : "No"),
  cluster: (question) => hallusionCluster(question),
  categories: {
    category: ({ category }) => category,
    subcategory: ({ category, subcategory }) => `${category}_${subcategory}`,
  },
  protocols: {
    default: protocol(wordYesNo),
    vlmevalkit: protocol(wordYesNo),
    "lmms-eval": protocol(anyYes),
  },
  judged,
  printed: { llava: 23.9, asvr: 33.7 },
});

/** VLMEvalKit's index: category, subcategory, visual input, set, figure, question; older files lack the third. */
function withSixParts(index: string): [string, string, string, string, string, string] {
  const parts = index.split("_");
  const six = parts.length >= 6 ? parts : [parts[0], parts[1], "", parts[2], parts[3], parts[4]];
  return six.slice(0, 6) as [string, string, string, string, string, string];
}
