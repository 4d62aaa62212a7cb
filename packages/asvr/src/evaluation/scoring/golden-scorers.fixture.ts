/** Our scoring functions by the names that the goldens give the references' functions. */
import { expect } from "vitest";
import { promptOfRecord } from "../benchmarks/golden-prompts.fixture.js";
import { anls, anlsM4c } from "./anls.js";
import {
  type Choices,
  cambrianLetter,
  cambrianLetterSeed,
  cambrianText,
  lmmsLetter,
  lmmsLetterMmvp,
  vlmEvalKitLetter,
} from "./choices.js";
import {
  ai2dMatch,
  ai2dMatchLmms,
  gqaMatch,
  mmmuMatch,
  punctuationBlindMatch,
  realWorldMatch,
  realWorldMatchLmms,
  realWorldWord,
  relaxedMatch,
  relaxedMatchCambrian,
  seedMatchLmms,
} from "./exact.js";
import { aggregates } from "./golden-aggregates.fixture.js";
import { mmmuCandidates, mmmuLetter, mmmuOpenMatch } from "./mmmu-parser.js";
import { type OcrItem, ocrMatch, ocrMatchLmms } from "./ocr.js";
import { compareText } from "./python-text.js";
import { evalAiAnswer, vlmEvalKitAnswer, vqaAccuracy } from "./vqa-answers.js";
import { anyYes, firstWordYesNo, notNo, startYesNo, wholeYesNo, wordYesNo, type YesNo } from "./yes-no.js";

export interface GoldenScorer {
  function: string;
  run: (input: never) => unknown;
  /** Asserts what counts where the reference raises. */
  whereReferenceFails?: (input: never) => void;
}

type Pair = { prediction: string; target: string };
type Answers = { prediction: string; answers: string[] };
type Text = { text: string };
type Choice = { text: string; letters: string[]; choices: Choices };

const yesNoOther = (read: (text: string) => YesNo) => (input: Text) => read(input.text) ?? "other";
const capitalized = { yes: "Yes", no: "No" };

export const scorers: GoldenScorer[] = [
  ...aggregates,
  {
    function: "text of the user turn for one record (the image token and a newline first)",
    run: ({ benchmark, record }: { benchmark: string; record: Record<string, unknown> }) =>
      promptOfRecord(benchmark, record),
  },
  {
    function: "AI2D correctness of one question (target is the option index as a string)",
    run: (input: Pair) => ai2dMatch(input.prediction, input.target),
  },
  {
    function: "AI2D correctness of one question (lmms-eval filter, then exact match)",
    run: (input: Pair) => ai2dMatchLmms(input.prediction, input.target),
  },
  {
    function: "ChartQA relaxed correctness of one question (Cambrian)",
    run: (input: Pair) => relaxedMatchCambrian(input.prediction, input.target),
  },
  {
    function: "ChartQA relaxed correctness of one question",
    run: (input: Pair) => relaxedMatch(input.prediction, input.target),
  },
  { function: "ANLS of one question, 0..1", run: (input: Answers) => anls(input.prediction, input.answers) },
  {
    function: "ANLS of one question, 0..1 (M4C variant)",
    run: (input: Answers) => anlsM4c(input.prediction, input.answers),
    whereReferenceFails: (input: Answers) => expect(anlsM4c(input.prediction, input.answers)).toBe(1),
  },
  { function: "normalise one answer (EvalAI answer processor)", run: (input: Text) => evalAiAnswer(input.text) },
  {
    function: "normalise one answer: every entry of the contraction table",
    run: (input: Text) => evalAiAnswer(input.text),
  },
  {
    function: "normalise one answer (VLMEvalKit variant, no word tokenising)",
    run: (input: Text) => vlmEvalKitAnswer(input.text),
  },
  {
    function: "GQA exact match of one question",
    run: (input: Pair) => gqaMatch(input.prediction, input.target),
  },
  {
    function: "GQA exact match of one question (lmms-eval: case and ASCII punctuation ignored)",
    run: (input: Pair) => punctuationBlindMatch(input.prediction, input.target),
  },
  {
    function: "answer letter from a response and the options (VLMEvalKit)",
    run: (input: Choice) => vlmEvalKitLetter(input.text, input.choices) ?? false,
  },
  {
    function: "answer letter from a response and the options (VLMEvalKit, early 2025)",
    run: (input: Choice) => vlmEvalKitLetter(input.text, input.choices, "2025") ?? false,
  },
  {
    function: "answer letter from a response (MMBench, MMMU, AI2D)",
    run: (input: Text) => cambrianLetter(input.text),
  },
  { function: "answer letter from a response (SEED)", run: (input: Text) => cambrianLetterSeed(input.text) },
  {
    function: "answer letter from a response (lmms-eval shared extractor)",
    run: (input: Choice) => lmmsLetter(input.text, input.letters),
  },
  {
    function: "answer letter from a response (lmms-eval MMVP, A or B)",
    run: (input: Text) => lmmsLetterMmvp(input.text),
  },
  { function: "answer text from a response (MMVP)", run: (input: Text) => cambrianText(input.text) },
  {
    function: "MMMU correctness of one question",
    run: (input: Pair & { type: string }) => mmmuMatch(input.prediction, input.target, input.type),
  },
  {
    function: "answer letter from a response and the options (official MMMU parser)",
    run: (input: Choice) => mmmuLetter(input.text, input.choices) ?? "<RANDOM>",
  },
  {
    function: "correctness of one open question (official MMMU evaluation)",
    run: (input: { prediction: string; target: string | string[] }) =>
      mmmuOpenMatch(mmmuCandidates(input.prediction), input.target),
  },
  {
    function: "candidate answers in a response to an open question (official MMMU parser)",
    run: (input: Text) => sortedCandidates(mmmuCandidates(input.text)),
  },
  { function: "OCRBench correctness of one question (containment)", run: (input: OcrItem) => ocrMatch(input) },
  {
    function: "OCRBench correctness of one question (whole answer equal)",
    run: (input: OcrItem) => ocrMatch(input, true),
  },
  {
    function: "OCRBench correctness of one question (lmms-eval: full-width ASCII folded)",
    run: (input: OcrItem) => ocrMatchLmms(input),
  },
  {
    function: "RealWorldQA correctness of one question",
    run: (input: Pair) => realWorldMatch(input.prediction, input.target),
    whereReferenceFails: (input: Pair) => expect(realWorldMatch(input.prediction, input.target)).toBe(false),
  },
  {
    function: "RealWorldQA correctness of one question (lmms-eval)",
    run: (input: Pair) => realWorldMatchLmms(input.prediction, input.target),
  },
  {
    function: "first word of a response (RealWorldQA)",
    run: (input: Text) => realWorldWord(input.text),
    whereReferenceFails: (input: Text) => expect(realWorldWord(input.text)).toBeUndefined(),
  },
  {
    function: "SEED correctness of one question (lmms-eval: first character)",
    run: (input: Pair) => seedMatchLmms(input.prediction, input.target),
  },
  {
    function: "TextVQA soft accuracy of one question, 0..1",
    run: (input: Answers) => vqaAccuracy(input.prediction, input.answers),
  },
  {
    function: "TextVQA soft accuracy of one question, 0..1 (lmms-eval)",
    run: (input: Answers) => vqaAccuracy(input.prediction, input.answers),
  },
  { function: "yes, no or other (Cambrian MME: whole response)", run: yesNoOther(wholeYesNo) },
  {
    function: "yes, no or other (Cambrian POPE: first word)",
    run: yesNoOther(firstWordYesNo),
    whereReferenceFails: (input: Text) => expect(firstWordYesNo(input.text)).toBeUndefined(),
  },
  {
    function: "yes or no (lmms-eval rule without a judge: 'yes' anywhere, else no)",
    run: (input: Text) => anyYes(input.text),
  },
  {
    function: "yes or no (LLaVA POPE: no / No / not anywhere in the first sentence)",
    run: (input: Text) => notNo(input.text),
  },
  { function: "yes, no or other (lmms-eval MME: first four characters)", run: yesNoOther(startYesNo) },
  {
    function: "Yes, No or Unknown (VLMEvalKit)",
    run: (input: Text) => {
      const said = wordYesNo(input.text);
      return said ? capitalized[said] : "Unknown";
    },
  },
];

/** As the golden has them: numbers that JSON lacks are words. */
function sortedCandidates(candidates: readonly (string | number)[]): unknown {
  const numbers = candidates.filter((one) => typeof one === "number").sort((a, b) => a - b);
  return {
    numbers: numbers.map((value) => {
      if (Number.isFinite(value)) return value;
      return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
    }),
    strings: candidates.filter((one) => typeof one === "string").sort(compareText),
  };
}
