/** Sample questions with every row's answer, chosen by position alone so that nothing is picked for looking good. */

import type { Prediction } from "../runs/run-folder.js";
import type { ReportRow } from "./report.js";

export interface Sample {
  image: string;
  type: string;
  question: string;
  answer: string;
  /** In the order of the study's rows; rows that were not evaluated are absent. */
  answers: { row: string; prediction: string; correct: boolean }[];
}

/** Question types in turn, at pictures spread evenly over test-seen; each row answers with its first evaluated seed. */
export function pickSamples(rows: readonly ReportRow[], count = 9): Sample[] {
  const evaluated = rows.flatMap(({ row, seeds }) => {
    const answers = seeds.map((seed) => seed.predictions["test-seen"]).find((one) => one && one.length > 0);
    return answers ? [{ row: row.id, answers, byId: new Map(answers.map((answer) => [answer.id, answer])) }] : [];
  });
  const reference = evaluated[0]?.answers ?? [];
  return spread(reference, count).map(({ id, image, type, question, answer }) => ({
    image,
    type,
    question,
    answer,
    answers: evaluated.flatMap(({ row, byId }) => {
      const own = byId.get(id);
      return own ? [{ row, prediction: own.prediction, correct: own.correct }] : [];
    }),
  }));
}

function spread(questions: readonly Prediction[], count: number): Prediction[] {
  const types = [...new Set(questions.map((question) => question.type))];
  const chosen: Prediction[] = [];
  for (let index = 0; index < Math.min(count, questions.length); index++) {
    const type = types[index % types.length];
    const start = Math.floor((index * questions.length) / count);
    const ordered = [...questions.slice(start), ...questions.slice(0, start)];
    const next = ordered.find((question) => question.type === type && !chosen.includes(question));
    if (next) chosen.push(next);
  }
  return chosen;
}
