/** What a benchmark is: where its questions are, how they are asked, what an answer is worth. */
import { z } from "zod";
import type { PaperBenchmark } from "../../recipes/paper-tables.js";
import { each, type Part, type Scored } from "../scoring/shares.js";

/** Where the questions are published. */
export interface DataSource {
  hub: string;
  /** Hub ids under which others publish this data too. */
  otherHubs?: readonly string[];
  config?: string;
  split: string;
  /** Questions that there are; with `about`, nobody has counted exactly. */
  rows: number;
  about?: boolean;
  /** What other published versions have, which are whole too. */
  otherRows?: readonly number[];
  /** Splits without published answers, and their rows (null: not known): for a submission. */
  unanswered?: Readonly<Record<string, number | null>>;
  /** File names that hold it in another published form. */
  files?: readonly string[];
  /** Columns with pictures, the first one first. */
  pictures: readonly string[];
  /** Pictures in another config of the data set: its column `key` is this table's column `from`. */
  join?: { config: string; key: string; from: string; picture: string };
  /** Rows of the table that are no questions of this benchmark (video). */
  keep?: (values: Readonly<Record<string, unknown>>) => boolean;
}

/** A published row as a question. */
export interface Asked<Question> {
  id: string;
  question: Question;
  /** A picture's path, where rows do not hold pictures. */
  picturePath?: string;
}

/** One published form: the columns that it needs, and what they mean. */
export interface Shape<Question> {
  columns: readonly string[];
  /** @throws z.ZodError */
  read(values: Readonly<Record<string, unknown>>, index: number): Asked<Question>;
}

/** A published form by the types of its columns. */
export function shape<Columns extends z.ZodRawShape, Question>(
  columns: Columns,
  toQuestion: (row: z.output<z.ZodObject<Columns>>, index: number) => Asked<Question>,
): Shape<Question> {
  const schema = z.object(columns);
  const needed = Object.entries(columns).filter(([, type]) => !z.safeParse(type as z.ZodType, undefined).success);
  return {
    columns: needed.map(([name]) => name),
    read: (values, index) => toQuestion(schema.parse(values), index),
  };
}

/** Text that may be a number in one file and a string in another; a float in a column where pandas met a gap. */
export const idColumn = z
  .union([z.string().min(1), z.number()])
  .transform((id) => String(id).replace(/^(\d+)\.0+$/, "$1"));
/** A whole number, however it was written: 200, "200" or "200.0". */
export const indexColumn = idColumn.pipe(z.string().regex(/^\d+$/, "it is no whole number").transform(Number));
/** An option or hint: null and missing are allowed. */
export const optionColumn = z.union([z.string(), z.number(), z.boolean()]).transform(optionText).nullish();

/** Python writes its booleans in capitals. */
function optionText(value: string | number | boolean): string {
  if (typeof value === "boolean") return value ? "True" : "False";
  return String(value);
}

/** A question with what a model said. */
export interface Answered<Question> extends Scored {
  id: string;
  question: Question;
  /** The key of its picture. */
  picture: string;
  answer: string;
  /** What the answer was taken for; undefined: unreadable, and wrong. */
  read: string | undefined;
}

/** A way to score the same answers. */
export interface Protocol<Question> {
  /** The answer taken out of what the model said. */
  read(answer: string, question: Question): string | undefined;
  /** 0 to 1. Not asked for unreadable answers, which get 0. */
  score(read: string, question: Question, answer: string): number;
  /** The final number, 0 to 100; the share of points if not given. */
  parts?(items: readonly Answered<Question>[]): Part[];
  /** What is printed beside it. */
  values?(items: readonly Answered<Question>[]): Record<string, number>;
}

/** A protocol in which somebody judges answers. */
export interface JudgedProtocol<Question> extends Protocol<Question> {
  /** Of the protocol; the judge's is put behind it. */
  name: string;
  /** What the judge is asked; undefined where the rules are enough. */
  ask(answer: string, question: Question, read: string | undefined): string | undefined;
  /** What its reply means; undefined: unreadable. */
  verdict(reply: string, question: Question): string | undefined;
  /** What a verdict is worth, 0 to 1. */
  worth(verdict: string, question: Question): number;
}

export type PromptStyle = "default" | "cambrian" | "lmms-eval" | "llava";

export interface Definition<Question extends object> {
  name: string;
  /** As the paper's tables call it. */
  title: PaperBenchmark;
  /** What it asks, in a sentence; and where prompt and printed numbers are from. */
  about: string;
  source: string;
  /** The name of the task in lmms-eval, and of the data set in VLMEvalKit: for exports. */
  elsewhere: { lmmsEval: string; vlmEvalKit: string };
  data: DataSource;
  shapes: readonly Shape<Question>[];
  /** The user turn behind the picture, by whose words. */
  ask: { default: (question: Question) => string } & Partial<Record<PromptStyle, (question: Question) => string>>;
  /** Styles that show all of a question's pictures and not only the first. */
  showsAll?: readonly PromptStyle[];
  maxNewTokens: number;
  /** Limits of a reference that differ, where its own words are asked in. */
  maxNewTokensOf?: Partial<Record<PromptStyle, number>>;
  /** The right answer in words: what a report and an oracle say; undefined in a split without answers. */
  gold: (question: Question) => string | undefined;
  /** What hangs together, and is drawn as a whole when the benchmark is resampled. */
  cluster: (question: Question, id: string, picture: string) => string;
  /** Breakdowns: name -> the category of a question. */
  categories?: Readonly<Record<string, (question: Question) => string>>;
  /** Groups that must be whole: name of the group, and how many questions it has. */
  whole?: { group: (question: Question, id: string) => string; size: number };
  protocols: { default: Protocol<Question> } & Readonly<Record<string, Protocol<Question>>>;
  /** Where a judge has a part in a reference. */
  judged?: JudgedProtocol<Question>;
  /** Of the paper's Table 1. */
  printed: { llava: number; asvr: number };
}

/** A definition for code that serves all fourteen: what its questions are is its own matter. */
export type Benchmark = Definition<object>;

/** A benchmark, checked at its definition and then used through one type. */
export function defineBenchmark<Question extends object>(definition: Definition<Question>): Benchmark {
  return definition as unknown as Benchmark;
}

/** The whole user turn: a mark for each picture, then the text. */
export function userTurn(benchmark: Benchmark, question: object, style: PromptStyle = "default", pictures = 1): string {
  const ask = benchmark.ask[style] ?? benchmark.ask.default;
  const marks = benchmark.showsAll?.includes(style) ? pictures : Math.min(pictures, 1);
  return `${"<image>\n".repeat(marks)}${ask(question)}`;
}

/** How long an answer may be, in tokens, where a question is asked in these words. */
export function tokenLimit({ maxNewTokens, maxNewTokensOf }: Benchmark, style: PromptStyle = "default"): number {
  return maxNewTokensOf?.[style] ?? maxNewTokens;
}

export function partsOf<Question>(protocol: Protocol<Question>, items: readonly Answered<Question>[]): Part[] {
  return protocol.parts?.(items) ?? [{ scale: 100, units: each(items) }];
}
