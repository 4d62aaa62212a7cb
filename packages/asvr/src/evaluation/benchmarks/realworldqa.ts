import { z } from "zod";
import { lmmsLetter } from "../scoring/choices.js";
import { realWorldMatch, realWorldMatchLmms, realWorldWord } from "../scoring/exact.js";
import { defineBenchmark, type Protocol, shape } from "./benchmark.js";

interface RealWorldQuestion {
  /** With its options and the sentence that says how to answer. */
  question: string;
  answer: string;
}

const cambrian: Protocol<RealWorldQuestion> = {
  read: realWorldWord,
  score: (_read, { answer }, said) => (realWorldMatch(said, answer) ? 1 : 0),
};

export const realworldqa = defineBenchmark<RealWorldQuestion>({
  name: "realworldqa",
  title: "RealWorldQA",
  about: "Spatial questions about photographs, many from cars (xAI, 2024)",
  source: "Table 1; Table 5's sentence is part of the data, so nothing is added",
  elsewhere: { lmmsEval: "realworldqa", vlmEvalKit: "RealWorldQA" },
  data: {
    hub: "lmms-lab/RealWorldQA",
    otherHubs: ["lmms-lab-encoder/RealWorldQA", "xai-org/RealworldQA"],
    split: "test",
    rows: 765,
    pictures: ["image"],
  },
  shapes: [
    shape({ question: z.string().min(1), answer: z.string().min(1) }, (row, index) => ({
      id: String(index),
      question: row,
    })),
  ],
  ask: { default: ({ question }) => question },
  maxNewTokens: 512,
  gold: ({ answer }) => answer,
  cluster: (_question, _id, picture) => picture,
  categories: { form: ({ answer }) => (/^[A-Z]$/.test(answer) ? "letter" : "word") },
  protocols: {
    default: cambrian,
    cambrian,
    "lmms-eval": {
      read: (answer, question) => (/^[A-Z]$/i.test(question.answer) ? lmmsLetter(answer) || undefined : answer),
      score: (_read, { answer }, said) => (realWorldMatchLmms(said, answer) ? 1 : 0),
    },
  },
  printed: { llava: 52.0, asvr: 54.1 },
});
