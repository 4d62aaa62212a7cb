import { z } from "zod";
import { cambrianLetterSeed, vlmEvalKitLetter } from "../scoring/choices.js";
import { seedMatchLmms } from "../scoring/exact.js";
import { strip } from "../scoring/python-text.js";
import { defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { letterLines, OPTION_LETTER } from "./prompts.js";

export const SEED_DIMENSIONS = [
  "Scene Understanding",
  "Instance Identity",
  "Instance Attribute",
  "Instance Location",
  "Instance Counting",
  "Spatial Relation",
  "Instance Interaction",
  "Visual Reasoning",
  "Text Recognition",
] as const;

interface SeedQuestion {
  question: string;
  options: Record<string, string>;
  answer: string;
  dimension: string;
}

const letter = z.string().regex(/^[A-D]$/);
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");

function protocol(
  read: Protocol<SeedQuestion>["read"],
  score?: Protocol<SeedQuestion>["score"],
): Protocol<SeedQuestion> {
  return { read, score: score ?? ((said, { answer }) => (said.toUpperCase() === answer ? 1 : 0)) };
}

export const seed = defineBenchmark<SeedQuestion>({
  name: "seed",
  title: "SEED-Image",
  about: "Multiple choice about pictures in nine dimensions; the video questions are left out (Li et al., 2023)",
  source: "Table 1; prompt from Table 5",
  elsewhere: { lmmsEval: "seedbench", vlmEvalKit: "SEEDBench_IMG" },
  data: {
    hub: "lmms-lab/SEED-Bench",
    otherHubs: ["lmms-lab-encoder/SEED-Bench"],
    split: "test",
    rows: 14233,
    about: true,
    files: ["SEEDBench_IMG.tsv"],
    pictures: ["image"],
    keep: ({ data_type, image }) => data_type !== "video" && (!Array.isArray(image) || image.length === 1),
  },
  shapes: [
    shape(
      {
        question_id: idColumn,
        question: z.string().min(1),
        question_type_id: z.number().int().min(1).max(9),
        choice_a: text,
        choice_b: text,
        choice_c: text,
        choice_d: text,
        answer: letter,
      },
      ({ question_id, question, question_type_id, choice_a, choice_b, choice_c, choice_d, answer }) => ({
        id: question_id,
        question: {
          question,
          options: { A: choice_a, B: choice_b, C: choice_c, D: choice_d },
          answer,
          dimension: SEED_DIMENSIONS[question_type_id - 1]!,
        },
      }),
    ),
    shape(
      {
        index: idColumn,
        question: z.string().min(1),
        A: z.string(),
        B: z.string(),
        C: z.string(),
        D: z.string(),
        answer: letter,
        category: z.string(),
      },
      ({ index, question, A, B, C, D, answer, category }) => ({
        id: index,
        question: { question, options: { A, B, C, D }, answer, dimension: category.replaceAll("_", " ") },
      }),
    ),
  ],
  ask: {
    default: ({ question, options }) => `${question} Options:\n${letterLines(options)}\n${OPTION_LETTER}`,
    "lmms-eval": ({ question, options }) => `${question}\n${letterLines(options)}\n${OPTION_LETTER}`,
  },
  maxNewTokens: 512,
  gold: ({ answer }) => answer,
  cluster: (_question, _id, picture) => picture,
  categories: { dimension: ({ dimension }) => dimension },
  protocols: {
    default: protocol(cambrianLetterSeed),
    cambrian: protocol(cambrianLetterSeed),
    "lmms-eval": protocol(
      (answer) => [...strip(answer)][0],
      (_said, question, answer) => (seedMatchLmms(answer, question.answer) ? 1 : 0),
    ),
    llava: protocol(strip, (said, { answer }) => (said === answer ? 1 : 0)),
    vlmevalkit: protocol((answer, { options }) => vlmEvalKitLetter(answer, options)),
  },
  printed: { llava: 63.8, asvr: 66.4 },
});
