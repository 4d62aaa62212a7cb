import { z } from "zod";
import { evalAiAnswer, vlmEvalKitAnswer, vqaAccuracy } from "../scoring/vqa-answers.js";
import { defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { SINGLE_WORD } from "./prompts.js";

interface TextVqaQuestion {
  question: string;
  ocrTokens: string[];
  answers: string[];
  image: string;
}

const evalAi: Protocol<TextVqaQuestion> = {
  read: evalAiAnswer,
  score: (_read, { answers }, answer) => vqaAccuracy(answer, answers),
};

export const textvqa = defineBenchmark<TextVqaQuestion>({
  name: "textvqa",
  title: "TextVQA",
  about: "Questions about the text in a photograph, ten people's answers to each (Singh et al., 2019)",
  source: "Table 1; prompt from Appendix A.3, Table 5, behind the tokens that an OCR system found, as Cambrian asks",
  elsewhere: { lmmsEval: "textvqa_val", vlmEvalKit: "TextVQA_VAL" },
  data: {
    hub: "lmms-lab/textvqa",
    otherHubs: ["lmms-lab-encoder/textvqa"],
    split: "validation",
    rows: 5000,
    pictures: ["image"],
  },
  shapes: [
    shape(
      {
        question_id: idColumn,
        question: z.string().min(1),
        ocr_tokens: z.array(z.string()),
        answers: z.array(z.string()).min(1),
        image_id: idColumn,
      },
      ({ question_id, question, ocr_tokens, answers, image_id }) => ({
        id: question_id,
        question: { question, ocrTokens: ocr_tokens, answers, image: image_id },
      }),
    ),
  ],
  ask: {
    default: ({ question, ocrTokens }) => {
      const tokens = ocrTokens.length > 0 ? ` ${ocrTokens.join(", ")}` : "";
      return `${question}\nReference OCR tokens:${tokens}\n${SINGLE_WORD}`;
    },
    // Without tokens, and as Python's capitalize has it: the rest of the question in lower case.
    "lmms-eval": ({ question }) =>
      `${question.slice(0, 1).toUpperCase()}${question.slice(1).toLowerCase()}\n${SINGLE_WORD}`,
  },
  maxNewTokens: 512,
  gold: ({ answers }) => mostFrequent(answers),
  cluster: ({ image }) => image,
  protocols: {
    default: evalAi,
    cambrian: evalAi,
    "lmms-eval": evalAi,
    vlmevalkit: {
      read: vlmEvalKitAnswer,
      score: (_read, { answers }, answer) => vqaAccuracy(answer, answers, vlmEvalKitAnswer),
    },
  },
  printed: { llava: 56.0, asvr: 59.5 },
});

/** The answer that most people gave, once made comparable: nothing scores higher. */
function mostFrequent(answers: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(evalAiAnswer(answer), (counts.get(evalAiAnswer(answer)) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return answers.find((answer) => counts.get(evalAiAnswer(answer)) === most)!;
}
