import { z } from "zod";
import { anls, anlsM4c } from "../scoring/anls.js";
import { parsePythonList } from "../scoring/options.js";
import { defineBenchmark, idColumn, type Protocol, shape } from "./benchmark.js";
import { SHORT_ANSWER, SINGLE_WORD } from "./prompts.js";

interface DocVqaQuestion {
  question: string;
  /** None in the test split. */
  answers: string[];
  types: string[];
  document: string;
}

const lmms: Protocol<DocVqaQuestion> = {
  read: (answer) => answer,
  score: (answer, { answers }) => anls(answer, answers),
};

export const docvqa = defineBenchmark<DocVqaQuestion>({
  name: "docvqa",
  title: "DocVQA",
  about: "Questions about scanned documents, scored by edit distance (Mathew et al., 2021)",
  source: "Table 1; prompt from Table 5. The paper does not say which split; the test split has no published answers",
  elsewhere: { lmmsEval: "docvqa_val", vlmEvalKit: "DocVQA_VAL" },
  data: {
    hub: "lmms-lab/DocVQA",
    otherHubs: ["lmms-lab-encoder/DocVQA"],
    config: "DocVQA",
    split: "validation",
    rows: 5349,
    unanswered: { test: 5188 },
    files: ["DocVQA_VAL.tsv"],
    pictures: ["image"],
  },
  shapes: [
    shape(
      {
        questionId: idColumn,
        question: z.string().min(1),
        answers: z.array(z.string()).nullish(),
        question_types: z.array(z.string()).nullish(),
        docId: idColumn.nullish(),
        ucsf_document_page_no: idColumn.nullish(),
      },
      (row) => ({
        id: row.questionId,
        question: {
          question: row.question,
          answers: row.answers ?? [],
          types: row.question_types ?? [],
          document: row.docId == null ? "" : `${row.docId}-${row.ucsf_document_page_no ?? 0}`,
        },
      }),
    ),
    shape({ index: idColumn, question: z.string().min(1), answer: z.string() }, ({ index, question, answer }) => ({
      id: index,
      question: { question, answers: parsePythonList(answer) ?? [answer], types: [], document: "" },
    })),
  ],
  ask: {
    default: ({ question }) => `${question}\n${SINGLE_WORD}`,
    cambrian: ({ question }) => `${question}\n${SHORT_ANSWER}`,
  },
  maxNewTokens: 128,
  gold: ({ answers }) => answers[0],
  cluster: ({ document }, _id, picture) => document || picture,
  categories: { type: ({ types }) => types[0] ?? "none" },
  protocols: {
    default: lmms,
    "lmms-eval": lmms,
    cambrian: { read: (answer) => answer, score: (answer, { answers }) => anlsM4c(answer, answers) },
  },
  printed: { llava: 21.1, asvr: 24.3 },
});
