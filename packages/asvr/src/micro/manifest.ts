import { type Licence, MICRO_LICENCES } from "./licences.js";
import type { QuestionRecord } from "./records.js";
import { heldOutVendors, type SplitName } from "./splits.js";
import type { Concept, KindName, Things, ThingsName } from "./things.js";
import {
  BACKGROUNDS,
  type Background,
  type Group,
  type Photograph,
  QUESTION_TYPE_NAMES,
  QUESTION_TYPES,
  type QuestionType,
  REGIONS,
  type Vendor,
} from "./world.js";

/** Marks a folder as a micro world; raised when the same seed no longer gives the same files. */
export const MICRO_FORMAT = "asvr-micro-world/1";

export interface MicroManifest {
  readonly format: typeof MICRO_FORMAT;
  readonly provenance: string;
  readonly seed: number;
  readonly things: ThingsName;
  readonly questionsPerImage: number;
  /** Scenes a split. */
  readonly sizes: Readonly<Record<SplitName, number>>;
  readonly concepts: readonly { readonly label: Concept; readonly kind: KindName; readonly heldOutVendor: Vendor }[];
  readonly questionTypes: Readonly<Record<QuestionType, QuestionTypeSummary>>;
  readonly backgrounds: Readonly<Record<Background, readonly Photograph[]>>;
  readonly licences: readonly Licence[];
  /** SHA-256 of every JSON file but this one. */
  readonly sha256: Readonly<Record<string, string>>;
}

export interface QuestionTypeSummary {
  readonly group: Group;
  readonly example: string;
  /** Questions in tuning.json. */
  readonly trainCount: number;
  /** The most frequent answer there and its share: what a model scores that always says the same. */
  readonly majorityAnswer: string;
  readonly majorityShare: number;
  /**
   * The share for the most frequent answer to each wording: what a model scores that reads but never looks. A little
   * too high where a wording is rare, since its most frequent answer is partly luck.
   */
  readonly blindShare: number;
}

const PROVENANCE =
  "The drawings (emoji of three vendors), the photographs and the handwritten digits are real and come from npm " +
  "packages; the scenes are not: this program chose what stands where, on which coloured plate, and composed the " +
  "pictures, and it made the captions, questions and answers from those choices with the labels and subgroups of " +
  "Unicode CLDR. What each part of a photograph shows was marked by hand.";

export function makeManifest(
  options: { seed: number; things: Things; questionsPerImage: number; sizes: Record<SplitName, number> },
  tuning: readonly QuestionRecord[],
  sha256: Record<string, string>,
): MicroManifest {
  const { seed, things } = options;
  const heldOut = heldOutVendors(seed, things);
  return {
    format: MICRO_FORMAT,
    provenance: PROVENANCE,
    seed,
    things: things.name,
    questionsPerImage: options.questionsPerImage,
    sizes: options.sizes,
    concepts: things.concepts.map((label) => ({
      label,
      kind: things.kindOf(label),
      heldOutVendor: heldOut.get(label)!,
    })),
    questionTypes: record(QUESTION_TYPE_NAMES, (type) => summary(type, tuning)),
    backgrounds: record(BACKGROUNDS, (background) =>
      REGIONS.filter(({ shows }) => shows === background).map(({ photograph }) => photograph),
    ),
    licences: MICRO_LICENCES,
    sha256,
  };
}

function summary(type: QuestionType, tuning: readonly QuestionRecord[]): QuestionTypeSummary {
  const { group, example } = QUESTION_TYPES[type];
  const answers: string[] = [];
  const answersTo = new Map<string, string[]>();
  for (const { type: asked, conversations } of tuning) {
    if (asked !== type) continue;
    const [{ value: question }, { value: answer }] = conversations;
    answers.push(answer);
    if (!answersTo.has(question)) answersTo.set(question, []);
    answersTo.get(question)!.push(answer);
  }
  const majority = mostFrequent(answers);
  const blind = [...answersTo.values()].reduce((sum, list) => sum + mostFrequent(list).count, 0);
  const share = (count: number) => (answers.length > 0 ? Number((count / answers.length).toFixed(4)) : 0);
  return {
    group,
    example,
    trainCount: answers.length,
    majorityAnswer: majority.answer,
    majorityShare: share(majority.count),
    blindShare: share(blind),
  };
}

function mostFrequent(answers: readonly string[]): { answer: string; count: number } {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  const [answer, count] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? ["", 0];
  return { answer, count };
}

function record<K extends string, V>(keys: readonly K[], value: (key: K) => V): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<K, V>;
}
