import { z } from "zod";
import { type OcrItem, ocrMatch, ocrMatchLmms } from "../scoring/ocr.js";
import { parsePythonList } from "../scoring/options.js";
import { each, type Part } from "../scoring/shares.js";
import { type Answered, defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { SHORT_ANSWER } from "./prompts.js";

interface OcrQuestion {
  question: string;
  answers: string[];
  type: string;
  dataset: string;
}

function protocol(match: (item: OcrItem) => boolean): Protocol<OcrQuestion> {
  return {
    read: (answer) => answer,
    score: (prediction, { answers, type, dataset }) =>
      match({ prediction, answers, question_type: type, dataset }) ? 1 : 0,
  };
}

/** Points of 1000, whatever was asked. */
function ofThousand(items: readonly Answered<OcrQuestion>[]): Part[] {
  return [{ scale: items.length / 10, units: each(items) }];
}

export const ocrbench = defineBenchmark<OcrQuestion>({
  name: "ocrbench",
  title: "OCRBench",
  about: "Reading text of ten kinds; a response counts when it contains an answer (Liu et al., 2023)",
  source: "Table 1; prompt from Table 5",
  elsewhere: { lmmsEval: "ocrbench", vlmEvalKit: "OCRBench" },
  data: {
    hub: "echo840/OCRBench",
    split: "test",
    rows: 1000,
    files: ["OCRBench.tsv"],
    pictures: ["image"],
  },
  shapes: [
    shape(
      {
        dataset: z.string(),
        question: z.string().min(1),
        question_type: z.string().min(1),
        answer: z.union([z.array(z.string()).min(1), z.string().transform((one) => [one])]),
      },
      ({ dataset, question, question_type, answer }, index) => ({
        id: String(index),
        question: { question, answers: answer, type: question_type, dataset },
      }),
    ),
    shape(
      { index: idColumn, question: z.string().min(1), category: z.string().min(1), answer: z.string() },
      ({ index, question, category, answer }) => ({
        id: index,
        question: { question, answers: parsePythonList(answer) ?? [answer], type: category, dataset: "" },
      }),
    ),
  ],
  ask: {
    default: ({ question }) => `${question}\n${SHORT_ANSWER}`,
    "lmms-eval": ({ question }) => question.trim(),
  },
  maxNewTokens: 512,
  maxNewTokensOf: { "lmms-eval": 128 },
  gold: ({ answers }) => answers[0],
  cluster: (_question, _id, picture) => picture,
  categories: { type: ({ type }) => type },
  protocols: {
    default: protocol((item) => ocrMatch(item)),
    cambrian: protocol((item) => ocrMatch(item)),
    strict: protocol((item) => ocrMatch(item, true)),
    "lmms-eval": { ...protocol(ocrMatchLmms), parts: ofThousand },
  },
  printed: { llava: 31.3, asvr: 35.4 },
});
