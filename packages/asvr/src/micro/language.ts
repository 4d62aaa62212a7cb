import type { Random } from "../random.js";
import type { Scene, SceneObject } from "./scene.js";
import { KIND_NAMES, type Things } from "./things.js";
import {
  BACKGROUNDS,
  COLOR_NAMES,
  POSITIONS,
  QUESTION_TYPE_NAMES,
  QUESTION_TYPES,
  type QuestionType,
} from "./world.js";

export interface Question {
  readonly type: QuestionType;
  readonly question: string;
  /** Always one word. */
  readonly answer: string;
}

/** "owl on red at top-left , digit 4 at bottom-right , background water", in any order but for the background. */
export function fullCaption(scene: Scene, random: Random): string {
  const phrases = scene.objects.map(
    ({ concept, color, plate }) => `${concept} on ${color} at ${POSITIONS[plate.cell]}`,
  );
  if (scene.digit) phrases.push(`digit ${scene.digit.value} at ${POSITIONS[scene.digit.plate.cell]}`);
  const shuffled = random.shuffle(phrases);
  if (scene.background) shuffled.push(`background ${scene.background}`);
  return shuffled.join(" , ");
}

/** "owl , carrot": only what there is. */
export function namesCaption(scene: Scene, random: Random): string {
  return random.shuffle(scene.objects.map(({ concept }) => concept)).join(" , ");
}

/** Every caption that is true of an object's cell alone. */
export function cellCaptions({ concept, color }: SceneObject): string[] {
  return [concept, `${concept} on ${color}`];
}

/** Whether a question of the type can be asked of the scene. */
export function applies(type: QuestionType, scene: Scene): boolean {
  if (type === "digit") return scene.digit !== undefined;
  if (type === "background") return scene.background !== undefined;
  return true;
}

/**
 * Questions of a training scene: every type that applies once, in random order, so that the rare ones (a picture has one
 * digit and one background to ask about) are learned too, then more at random. Presence and the digit have two turns:
 * these are the hardest.
 */
export function trainingQuestions(scene: Scene, things: Things, count: number, random: Random): Question[] {
  const types = QUESTION_TYPE_NAMES.filter((type) => applies(type, scene));
  const drawn: QuestionType[] = [...types, "presence", ...(types.includes("digit") ? (["digit"] as const) : [])];
  const turns = random.shuffle(drawn);
  const asked = new Map<string, Question>();
  // Yes and no take turns. Were each drawn anew, "no" would win: there are more things to ask about that are absent.
  let isTrue = random.uniform() < 0.5;
  while (asked.size < count) {
    const question = ask(turns.shift() ?? random.pick(drawn), scene, things, isTrue, random);
    if (asked.has(question.question)) continue;
    asked.set(question.question, question);
    if (question.type === "presence") isTrue = !isTrue;
  }
  return [...asked.values()];
}

/** One question of every type that applies; on unseen drawings only of the types that are about objects. */
export function testQuestions(scene: Scene, things: Things, onlyAboutObjects: boolean, random: Random): Question[] {
  return QUESTION_TYPE_NAMES.filter(
    (type) => applies(type, scene) && (QUESTION_TYPES[type].aboutObjects || !onlyAboutObjects),
  ).map((type) => ask(type, scene, things, random.uniform() < 0.5, random));
}

function digitPosition({ digit }: Scene): string {
  return POSITIONS[digit!.plate.cell]!;
}

/** @param isTrue whether a presence question gets the answer yes; the other types have no such choice */
function ask(type: QuestionType, scene: Scene, things: Things, isTrue: boolean, random: Random): Question {
  const { concept, color, plate } = random.pick(scene.objects);
  const position = POSITIONS[plate.cell]!;
  const one = (question: string, answer: string | number): Question => ({ type, question, answer: String(answer) });
  switch (type) {
    case "digit":
      return one(random.uniform() < 0.5 ? "what digit ?" : `digit at ${digitPosition(scene)} ?`, scene.digit!.value);
    case "object":
      return one(`what at ${position} ?`, concept);
    case "lookup":
      return one(`what on ${color} ?`, concept); // the plates of a scene differ in colour
    case "background":
      return one("what background ?", scene.background!);
    case "kind":
      return one(`kind at ${position} ?`, things.kindOf(concept));
    case "count":
      return one(...countQuestion(scene, things, random));
    case "position":
      return one(`where ${concept} ?`, position);
    case "color":
      return one(`color behind ${concept} ?`, color);
    case "presence":
      return one(...presenceQuestion(scene, things, isTrue, random));
  }
}

/** All objects, or a kind. The answer is picked before the kind, for else 0 or 1 would nearly always be right. */
function countQuestion(scene: Scene, { kindOf }: Things, random: Random): [question: string, answer: number] {
  if (random.uniform() < 0.3) return ["how many objects ?", scene.objects.length];
  const counts = KIND_NAMES.map((kind) => scene.objects.filter(({ concept }) => kindOf(concept) === kind).length);
  const answer = random.pick([...new Set(counts)]);
  return [`how many ${random.pick(KIND_NAMES.filter((_, i) => counts[i] === answer))} ?`, answer];
}

/**
 * "any dog ?" or, in two of five, "any animal ?". What is named but absent is drawn as POPE (Li et al., 2023) does,
 * but easier to learn from: half at random, a quarter popular, a quarter adversarial (of a kind that is there).
 */
function presenceQuestion(
  scene: Scene,
  { kinds, concepts, common, kindOf }: Things,
  isTrue: boolean,
  random: Random,
): [question: string, answer: "yes" | "no"] {
  const present = scene.objects.map(({ concept }) => concept);
  const presentKinds = [...new Set(present.map(kindOf))];
  if (random.uniform() < 0.4) {
    const candidates = isTrue ? presentKinds : KIND_NAMES.filter((kind) => !presentKinds.includes(kind));
    return [`any ${random.pick(candidates)} ?`, isTrue ? "yes" : "no"];
  }
  if (isTrue) return [`any ${random.pick(present)} ?`, "yes"];
  const share = random.uniform();
  const candidates = share < 0.5 ? concepts : share < 0.75 ? common : presentKinds.flatMap((kind) => kinds[kind]);
  return [`any ${random.pick(candidates.filter((concept) => !present.includes(concept)))} ?`, "no"];
}

/** Every word that a caption, question or answer may hold: the tokenizer gives each of them one token. */
export function wordsOf({ concepts }: Things): readonly string[] {
  return [
    ..."what at on kind how many objects where color behind any ? , digit background yes no".split(" "),
    ...Array.from({ length: 10 }, (_, value) => String(value)),
    ...POSITIONS,
    ...COLOR_NAMES,
    ...BACKGROUNDS,
    ...KIND_NAMES,
    ...concepts,
  ];
}
