import { z } from "zod";
import { type Choices, cambrianLetter, cambrianTail } from "../scoring/choices.js";
import { mmmuMatch } from "../scoring/exact.js";
import { mmmuCandidates, mmmuLetter, mmmuOpenMatch } from "../scoring/mmmu-parser.js";
import { MMMU_DISCIPLINES, mmmuSubject } from "../scoring/mmmu-table.js";
import { letterOf, parsePythonList } from "../scoring/options.js";
import { strip, stripEnd } from "../scoring/python-text.js";
import { defineBenchmark, type Protocol, shape } from "./benchmark.js";
import { askForLetter, letterVerdict } from "./letter-judge.js";
import { OPTION_LETTER, optionLines, SINGLE_WORD } from "./prompts.js";

interface MmmuQuestion {
  question: string;
  options: string[];
  answer: string;
  type: "multiple-choice" | "open";
  subject: string;
}

const cambrian: Protocol<MmmuQuestion> = {
  read: (answer, { type }) =>
    type === "open" ? stripEnd(strip(cambrianTail(answer)), ".") : cambrianLetter(answer) || undefined,
  score: (_read, { answer, type }, said) => (mmmuMatch(said, answer, type) ? 1 : 0),
};

const official: Protocol<MmmuQuestion> = {
  read: (answer, { type, options }) =>
    type === "open" ? JSON.stringify(mmmuCandidates(answer)) : mmmuLetter(answer, byLetter(options)),
  score: (read, { answer, type }, said) => {
    if (type === "multiple-choice") return read === answer ? 1 : 0;
    return mmmuOpenMatch(mmmuCandidates(said), parsePythonList(answer) ?? answer) ? 1 : 0;
  },
};

function byLetter(options: readonly string[]): Choices {
  return Object.fromEntries(options.map((option, index) => [letterOf(index), option]));
}

/** The marks `<image 1>` are deleted, the spaces around them stay. */
function withoutMarks(text: string): string {
  return text.replace(/<image \d+>/g, "");
}

/** Options are a list literal; a proper reader, since options with apostrophes are common. */
const optionsColumn = z.string().transform((text, context) => {
  const options = parsePythonList(text);
  if (options) return options;
  context.addIssue({ code: "custom", message: "it is no Python list of strings" });
  return z.NEVER;
});

export const mmmu = defineBenchmark<MmmuQuestion>({
  name: "mmmu",
  title: "MMMU",
  about:
    "College questions in thirty subjects, with the pictures of their books; the validation split (Yue et al., 2024)",
  source:
    "Table 1; prompt from Table 5, which does not mention open questions; the first picture alone, as Cambrian has it",
  elsewhere: { lmmsEval: "mmmu_val", vlmEvalKit: "MMMU_DEV_VAL" },
  data: {
    hub: "lmms-lab/MMMU",
    otherHubs: ["lmms-lab-encoder/MMMU"],
    split: "validation",
    rows: 900,
    pictures: ["image_1", "image_2", "image_3", "image_4", "image_5", "image_6", "image_7"],
  },
  shapes: [
    shape(
      {
        id: z.string().refine((id) => mmmuSubject(id) !== undefined, "it is not SPLIT_SUBJECT_NUMBER"),
        question: z.string().min(1),
        options: optionsColumn,
        answer: z.string(),
        question_type: z.enum(["multiple-choice", "open"]),
      },
      ({ id, question, options, answer, question_type }) => ({
        id,
        question: { question, options, answer, type: question_type, subject: mmmuSubject(id)! },
      }),
    ),
  ],
  ask: {
    default: ({ question, options, type }) => {
      const asked =
        type === "open"
          ? `${question}\n${SINGLE_WORD}`
          : `${question} Options:\n${optionLines(options)}\n${OPTION_LETTER}`;
      return stripEnd(withoutMarks(asked), " \n\t");
    },
    "lmms-eval": ({ question, options, type }) =>
      type === "open" ? `${question}\n\n${SINGLE_WORD}` : `${question}\n${optionLines(options)}\n\n${OPTION_LETTER}`,
  },
  showsAll: ["lmms-eval"],
  maxNewTokens: 512,
  maxNewTokensOf: { "lmms-eval": 128 },
  gold: ({ answer, type }) => (type === "open" ? (parsePythonList(answer)?.[0] ?? answer) : answer),
  cluster: (_question, id) => id,
  categories: {
    subject: ({ subject }) => subject,
    discipline: ({ subject }) =>
      Object.entries(MMMU_DISCIPLINES).find(([, subjects]) => subjects.includes(subject))?.[0] ?? "none",
    type: ({ type }) => type,
  },
  protocols: { default: cambrian, cambrian, official, "lmms-eval": official },
  judged: {
    // The official rules take a letter at random where they find none; a judge finds more.
    name: "mmmu-judged",
    ...official,
    ask: (answer, { question, options, type }, read) =>
      type === "multiple-choice" && read === undefined
        ? askForLetter(answer, { question, options: byLetter(options) })
        : undefined,
    verdict: (reply, { options }) => letterVerdict(reply, { options: byLetter(options) }),
    worth: (verdict, { answer }) => (verdict === answer ? 1 : 0),
  },
  printed: { llava: 32.7, asvr: 33.9 },
});
