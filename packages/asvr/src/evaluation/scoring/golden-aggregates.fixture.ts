/** The references' aggregate functions, made of our parts, in the shape that their goldens have. */
import { expect } from "vitest";
import { SEED_DIMENSIONS } from "../benchmarks/seed.js";
import { mean } from "../statistics.js";
import { cambrianLetter, cambrianLetterSeed, cambrianText, lmmsLetterMmbench, lmmsLetterMmvp } from "./choices.js";
import { confusion, ratio, type YesNoItem } from "./confusion.js";
import type { GoldenScorer } from "./golden-scorers.fixture.js";
import { type HallusionPlace, hallusionScores, hallusionTable, judgedHallusion, type Verdict } from "./hallusion.js";
import { type MmeItem, mmeCategories, mmeHalf } from "./mme.js";
import { mmmuOpenMatch } from "./mmmu-parser.js";
import { mmmuSubject, mmmuTable } from "./mmmu-table.js";
import { OCR_TYPES, type OcrItem, ocrMatchLmms } from "./ocr.js";
import { mmvpOptions } from "./options.js";
import { roundPython } from "./python-text.js";
import { allOf, each, type Scored, share, valuesBy } from "./shares.js";
import { anyYes, firstWordYesNo, notNo, startYesNo, strictYesNo, wholeYesNo, wordYesNo, type YesNo } from "./yes-no.js";

type Records<T> = { records: T[] };
type Asked = { question_id: string; category: string; answer: string; prediction: string };
type MmbenchRecord = {
  index: number;
  source_id: string;
  category: string;
  answer: string;
  choices: Record<string, string>;
  prediction: string;
};
type MmvpRecord = { prediction: string; answer: string; options: string };
type HallusionRecord = HallusionPlace & { gt_answer: string; prediction: string };

const point = (isRight: boolean) => (isRight ? 1 : 0);
const goldOf = ({ answer }: Asked) => (answer.toLowerCase() === "yes" ? "yes" : "no");

function mmeItems(records: readonly Asked[], read: (text: string) => YesNo): MmeItem[] {
  return records.map((record) => ({
    cluster: record.question_id,
    pair: record.question_id,
    category: record.category,
    score: point(read(record.prediction) === goldOf(record)),
  }));
}

function popeItems(records: readonly Asked[], read: (text: string) => YesNo): (YesNoItem & { category: string })[] {
  return records.map((record) => ({
    cluster: record.question_id,
    category: record.category,
    gold: goldOf(record),
    said: read(record.prediction),
  }));
}

function hallusionItems(records: readonly HallusionRecord[], read: (text: string) => YesNo) {
  return records.map((record) => ({
    ...record,
    cluster: "",
    score: point(read(record.prediction) === (record.gt_answer === "1" ? "yes" : "no")),
  }));
}

function scaled<T extends object>(values: T, by: (value: number) => number): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, by(value as number)]));
}

const percent = (value: number) => 100 * value;

export const aggregates: GoldenScorer[] = [
  {
    function: "HallusionBench aAcc, fAcc, qAcc from judge verdicts 0 wrong, 1 right, 2 unclear",
    run: ({ records }: Records<HallusionPlace & { judge: Verdict }>) =>
      scaled(judgedHallusion(records), (value) => roundPython(percent(value), 4)),
  },
  {
    function: "HallusionBench aAcc, fAcc, qAcc as fractions (lmms-eval without a judge)",
    run: ({ records }: Records<HallusionRecord>) => hallusionScores(hallusionItems(records, anyYes)),
  },
  {
    function: "HallusionBench aAcc, fAcc, qAcc in percent: overall, per category, per subcategory",
    run: ({ records }: Records<HallusionRecord>) => {
      const table = hallusionTable(hallusionItems(records, wordYesNo));
      return Object.fromEntries(Object.entries(table).map(([key, scores]) => [key, scaled(scores, percent)]));
    },
  },
  {
    function: "MMBench plain and circular accuracy as fractions, overall and per category",
    run: ({ records }: Records<MmbenchRecord>) => {
      const items = records.map((record) => ({
        ...record,
        cluster: record.source_id,
        score: point(cambrianLetter(record.prediction) === record.answer.toLowerCase()),
      }));
      const groupOf = (item: MmbenchRecord) => `${item.category}\n${item.source_id}`;
      const table = (group: typeof items) => ({
        accuracy: share(each(group)),
        circular_accuracy: share(allOf(group, groupOf)),
        circular_count: allOf(group, groupOf).length,
      });
      return {
        ...table(items),
        total_count: items.length,
        categories: valuesBy(
          items,
          ({ category }) => category,
          (group) => ({ ...table([...group]), total: group.length }),
        ),
      };
    },
  },
  {
    function: "MMBench circular accuracy as fractions (lmms-eval, static extraction)",
    run: ({ records }: Records<MmbenchRecord>) => {
      const base = ({ index }: MmbenchRecord) => String(index % 1e6);
      const category = new Map([...records].sort((a, b) => b.index - a.index).map((one) => [base(one), one.category]));
      const items = records.map((record) => ({
        ...record,
        cluster: base(record),
        score: point(lmmsLetterMmbench(record.prediction, record.choices) === record.answer),
      }));
      const circular = (group: readonly (typeof items)[number][]) => share(allOf(group, base));
      return { accuracy: circular(items), categories: valuesBy(items, (item) => category.get(base(item))!, circular) };
    },
  },
  {
    function: "MME per category, perception, cognition and sum",
    run: ({ records }: Records<Asked>) => {
      const items = mmeItems(records, wholeYesNo);
      const categories = mmeCategories(items);
      const Perception = mmeHalf(categories, "perception");
      const Cognition = mmeHalf(categories, "cognition");
      return {
        total_score: Perception + Cognition,
        accuracy: percent(share(each(items))),
        Perception,
        Cognition,
        categories: Object.fromEntries(
          Object.entries(categories).map(([name, { acc, accPlus, score, questions }]) => [
            name,
            { acc_score: acc, acc_plus_score: accPlus, score, size: questions },
          ]),
        ),
      };
    },
  },
  {
    function: "MME perception and cognition (lmms-eval: pairs by question_id)",
    run: ({ records }: Records<Asked>) => {
      const categories = mmeCategories(mmeItems(records, startYesNo));
      return { perception: mmeHalf(categories, "perception"), cognition: mmeHalf(categories, "cognition") };
    },
  },
  {
    function: "MME perception, reasoning and per category (VLMEvalKit)",
    run: ({ records }: Records<Asked>) => {
      const categories = mmeCategories(mmeItems(records, wordYesNo));
      return {
        perception: mmeHalf(categories, "perception"),
        reasoning: mmeHalf(categories, "cognition"),
        ...Object.fromEntries(Object.entries(categories).map(([name, { score }]) => [name, score])),
      };
    },
  },
  {
    function: "MMMU accuracy per subject, per discipline and overall (rounded to 5 decimals)",
    run: ({
      records,
    }: Records<{ id: string; type: string; answer: string | string[]; parsed: string | (string | number)[] }>) => {
      const table = mmmuTable(
        records.map(({ id, answer, parsed }) => ({
          subject: mmmuSubject(id)!,
          right: typeof parsed === "string" ? [answer].flat().includes(parsed) : mmmuOpenMatch(parsed, answer),
        })),
      );
      return { overall: table.Overall!.acc, printed: table };
    },
  },
  {
    function: "MMVP individual and pair accuracy as fractions (lmms-eval)",
    run: ({ records }: Records<MmvpRecord>) => {
      const items = records.map(({ prediction, answer }, at) => ({
        cluster: String(at >> 1),
        score: point(`(${lmmsLetterMmvp(prediction).toLowerCase()})` === answer),
      }));
      return { accuracy: share(each(items)), pair_accuracy: share(allOf(items, ({ cluster }) => cluster)) };
    },
  },
  {
    function: "MMVP pair accuracy in percent (records 2k and 2k+1 are a pair)",
    run: ({ records }: Records<MmvpRecord>) => {
      const items = records.map(({ prediction, answer, options }, at): Scored => {
        const letter = answer.replace(/[()]/g, "").toLowerCase();
        const text = mmvpOptions(options)["ab".indexOf(letter)]?.toLowerCase();
        const said = cambrianText(prediction);
        return { cluster: String(at >> 1), score: point(said === letter || said === text) };
      });
      const pairs = allOf(items, ({ cluster }) => cluster);
      const correct = 2 * pairs.filter(({ points }) => points === 1).length;
      return { total: items.length, correct, accuracy: percent(correct / items.length) };
    },
  },
  {
    function: "OCRBench points per question type and points / 1000",
    run: ({ records }: Records<OcrItem>) => {
      const points = Object.fromEntries(Object.keys(OCR_TYPES).map((type) => [type, 0]));
      for (const record of records) if (ocrMatchLmms(record)) points[record.question_type]! += 1;
      return { final_over_1000: Object.values(points).reduce((sum, value) => sum + value, 0) / 1000, points };
    },
  },
  {
    function: "average over the 14 benchmarks (plain mean, unrounded)",
    run: ({ scores }: { scores: Record<string, number> }) => mean(Object.values(scores)),
  },
  {
    function: "POPE accuracy over all questions (percent)",
    run: ({ records }: Records<Asked>) => popeAccuracy(records),
    // An empty answer is wrong and stays among the answers.
    whereReferenceFails: ({ records }: Records<Asked>) => {
      expect(popeAccuracy(records).total).toBe(records.length);
      for (const record of records.filter(({ prediction }) => prediction.trim() === "")) {
        expect(popeAccuracy([record]).correct).toBe(0);
      }
    },
  },
  {
    function: "POPE per category counts, accuracy, precision, recall, F1, predicted yes ratio (LLaVA)",
    run: ({ records }: Records<Asked>) => popeLlava(records),
    // Nothing was said yes to, or nothing was there: precision, recall and F1 of nothing are 0.
    whereReferenceFails: ({ records }: Records<Asked>) => {
      const { mean_f1, ...categories } = popeLlava(records);
      const empty = Object.values(categories).filter(({ tp }) => tp === 0);
      expect(empty.length).toBeGreaterThan(0);
      for (const { f1 } of empty) expect(f1).toBe(0);
    },
  },
  {
    function: "POPE accuracy, precision, recall, F1, yes ratio as fractions (lmms-eval)",
    run: ({ records }: Records<Asked>) => {
      const { accuracy, precision, recall, f1 } = confusion(popeItems(records, strictYesNo), "nothing");
      const yes = records.filter((record) => goldOf(record) === "yes").length;
      return { accuracy, precision, recall, f1, yes_ratio: ratio(yes, records.length) };
    },
  },
  {
    function: "POPE F1 (named Overall), accuracy, precision, recall, overall and per category (VLMEvalKit)",
    run: ({ records }: Records<Asked>) => {
      const items = popeItems(records, wordYesNo).flatMap((item) =>
        item.category.split(",").map((category) => ({ ...item, category })),
      );
      const table = (group: readonly YesNoItem[]) => {
        const { f1, accuracy, precision, recall } = confusion(group);
        return scaled({ Overall: f1, acc: accuracy, precision, recall }, percent);
      };
      return { Overall: table(items), ...valuesBy(items, ({ category }) => category, table) };
    },
  },
  {
    function: "SEED-Image accuracy as a fraction, overall and per dimension 1..9",
    run: ({ records }: Records<{ question_type_id: number; answer: string; prediction: string }>) => {
      const items = records.map((record) => ({
        cluster: "",
        dimension: SEED_DIMENSIONS[record.question_type_id - 1]!,
        score: point(cambrianLetterSeed(record.prediction) === record.answer.toLowerCase()),
      }));
      return {
        accuracy: share(each(items)),
        total_count: items.length,
        dimensions: valuesBy(
          items,
          ({ dimension }) => dimension,
          (group) => ({ accuracy: share(each(group)), total: group.length }),
        ),
      };
    },
  },
];

function popeAccuracy(records: readonly Asked[]) {
  const items = popeItems(records, firstWordYesNo);
  const correct = items.filter(({ gold, said }) => gold === said).length;
  return { accuracy: percent(confusion(items).accuracy), total: items.length, correct };
}

function popeLlava(records: readonly Asked[]) {
  const categories = valuesBy(
    popeItems(records, notNo),
    ({ category }) => category,
    (group) => ({
      ...confusion(group),
      yes_ratio: ratio(group.filter(({ said }) => said === "yes").length, group.length),
    }),
  );
  const scores = Object.values(categories).map(({ f1 }) => f1);
  return { ...categories, mean_f1: scores.reduce((sum, f1) => sum + f1, 0) / scores.length } as Record<
    string,
    { tp: number; f1: number }
  > & { mean_f1: never };
}
