import { z } from "zod";
import { type Choices, cambrianLetter, vlmEvalKitLetter } from "../scoring/choices.js";
import { ai2dMatch, ai2dMatchLmms } from "../scoring/exact.js";
import { letterOf } from "../scoring/options.js";
import { defineBenchmark, type Protocol, shape } from "./benchmark.js";
import { OPTION_LETTER, optionLines } from "./prompts.js";

interface Ai2dQuestion {
  question: string;
  options: string[];
  /** Index of the right option, as text. */
  answer: string;
}

const cambrian: Protocol<Ai2dQuestion> = {
  read: (answer) => cambrianLetter(answer) || undefined,
  score: (_read, { answer }, said) => (ai2dMatch(said, answer) ? 1 : 0),
};

const byLetter = (options: readonly string[]): Choices =>
  Object.fromEntries(options.map((option, index) => [letterOf(index), option]));

export const ai2d = defineBenchmark<Ai2dQuestion>({
  name: "ai2d",
  title: "AI2D",
  about: "Multiple choice about diagrams of school science, their labels masked by letters (Kembhavi et al., 2016)",
  source: "Table 1; prompt from Table 5",
  elsewhere: { lmmsEval: "ai2d", vlmEvalKit: "AI2D_TEST" },
  data: {
    hub: "lmms-lab/ai2d",
    otherHubs: ["lmms-lab-encoder/ai2d", "lmms-lab/ai2d-no-mask"],
    split: "test",
    rows: 3088,
    pictures: ["image"],
  },
  shapes: [
    shape(
      {
        question: z.string().min(1),
        options: z.array(z.string()).min(2),
        answer: z.union([z.string().regex(/^\d$/), z.number().int().transform(String)]),
      },
      (row, index) => ({ id: String(index), question: row }),
    ),
  ],
  ask: { default: ({ question, options }) => `${question}\n${optionLines(options)}\n${OPTION_LETTER}` },
  maxNewTokens: 512,
  gold: ({ answer }) => letterOf(Number(answer)),
  cluster: (_question, _id, picture) => picture,
  protocols: {
    default: cambrian,
    cambrian,
    "lmms-eval": {
      read: (answer) => answer,
      score: (said, { answer }) => (ai2dMatchLmms(said, answer) ? 1 : 0),
    },
    vlmevalkit: {
      read: (answer, { options }) => vlmEvalKitLetter(answer, byLetter(options)),
      score: (said, { answer }) => (said === letterOf(Number(answer)) ? 1 : 0),
    },
  },
  printed: { llava: 53.5, asvr: 57.0 },
});
