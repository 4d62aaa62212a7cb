import { z } from "zod";
import { relaxedMatch, relaxedMatchCambrian } from "../scoring/exact.js";
import { parsePythonList } from "../scoring/options.js";
import { strip } from "../scoring/python-text.js";
import { defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { SINGLE_NUMBER } from "./prompts.js";

interface ChartQuestion {
  question: string;
  answer: string;
  /** human_test or augmented_test: half of the questions each. */
  type: string;
}

function protocol(match: (prediction: string, target: string) => boolean): Protocol<ChartQuestion> {
  return {
    read: (answer) => answer,
    score: (said, { answer }) => (match(said, answer) ? 1 : 0),
  };
}

export const chartqa = defineBenchmark<ChartQuestion>({
  name: "chartqa",
  title: "ChartQA",
  about: "Questions about charts; numbers may be 5% off (Masry et al., 2022)",
  source: "Table 1; prompt from Table 5",
  elsewhere: { lmmsEval: "chartqa", vlmEvalKit: "ChartQA_TEST" },
  data: {
    hub: "lmms-lab/ChartQA",
    otherHubs: ["lmms-lab-encoder/ChartQA"],
    split: "test",
    rows: 2500,
    files: ["ChartQA_TEST.tsv"],
    pictures: ["image"],
  },
  shapes: [
    shape(
      { type: z.string().min(1), question: z.string().min(1), answer: z.string() },
      ({ type, question, answer }, index) => ({ id: String(index), question: { question, answer, type } }),
    ),
    shape(
      { index: idColumn, question: z.string().min(1), answer: z.string(), split: z.string() },
      ({ index, question, answer, split }) => ({
        id: index,
        question: {
          question,
          answer: parsePythonList(answer)?.[0] ?? answer,
          type: `${split.replace("test_", "")}_test`,
        },
      }),
    ),
  ],
  ask: { default: ({ question }) => `${question}\n${SINGLE_NUMBER}` },
  maxNewTokens: 128,
  gold: ({ answer }) => answer,
  cluster: (_question, _id, picture) => picture,
  categories: { type: ({ type }) => type },
  protocols: {
    default: protocol(relaxedMatch),
    "lmms-eval": protocol(relaxedMatch),
    cambrian: protocol(relaxedMatchCambrian),
    vlmevalkit: protocol((said, target) => relaxedMatch(strip(said), target)),
  },
  printed: { llava: 14.6, asvr: 16.4 },
});
