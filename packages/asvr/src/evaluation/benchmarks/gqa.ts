import { z } from "zod";
import { gqaMatch, punctuationBlindMatch } from "../scoring/exact.js";
import { stripEnd } from "../scoring/python-text.js";
import { defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { SINGLE_WORD } from "./prompts.js";

interface GqaQuestion {
  question: string;
  answer: string;
  image: string;
  structural: string;
  semantic: string;
}

const cambrian: Protocol<GqaQuestion> = {
  read: (answer) => stripEnd(answer.toLowerCase(), "."),
  score: (_read, { answer }, said) => (gqaMatch(said, answer) ? 1 : 0),
};

const type = z.string().nullish();

export const gqa = defineBenchmark<GqaQuestion>({
  name: "gqa",
  title: "GQA",
  about: "Compositional questions about real scenes, the balanced test-dev split (Hudson and Manning, 2019)",
  source: "Table 1; prompt from Table 5",
  elsewhere: { lmmsEval: "gqa", vlmEvalKit: "GQA_TestDev_Balanced" },
  data: {
    hub: "lmms-lab/GQA",
    otherHubs: ["lmms-lab-encoder/GQA"],
    config: "testdev_balanced_instructions",
    split: "testdev",
    rows: 12578,
    files: ["GQA_TestDev_Balanced.tsv"],
    pictures: ["image"],
    join: { config: "testdev_balanced_images", key: "id", from: "imageId", picture: "image" },
  },
  shapes: [
    shape(
      {
        id: idColumn,
        imageId: idColumn,
        question: z.string().min(1),
        answer: z.string(),
        types: z.object({ structural: type, semantic: type }).nullish(),
      },
      ({ id, imageId, question, answer, types }) => ({
        id,
        question: {
          question,
          answer,
          image: imageId,
          structural: types?.structural ?? "none",
          semantic: types?.semantic ?? "none",
        },
      }),
    ),
    shape({ index: idColumn, question: z.string().min(1), answer: z.string() }, ({ index, question, answer }) => ({
      id: index,
      question: { question, answer, image: "", structural: "none", semantic: "none" },
    })),
  ],
  ask: { default: ({ question }) => `${question}\n${SINGLE_WORD}` },
  maxNewTokens: 128,
  gold: ({ answer }) => answer,
  cluster: ({ image }, _id, picture) => image || picture,
  categories: { structural: ({ structural }) => structural, semantic: ({ semantic }) => semantic },
  protocols: {
    default: cambrian,
    cambrian,
    "lmms-eval": {
      read: (answer) => answer,
      score: (said, { answer }) => (punctuationBlindMatch(said, answer) ? 1 : 0),
    },
  },
  printed: { llava: 60.5, asvr: 61.5 },
});
