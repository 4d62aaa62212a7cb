import type { Random } from "../random.js";
import {
  cellCaptions,
  fullCaption,
  namesCaption,
  type Question,
  testQuestions,
  trainingQuestions,
} from "./language.js";
import type { Scene } from "./scene.js";
import type { Things } from "./things.js";
import { CELL_SIZE, type Group, QUESTION_TYPES, type QuestionType } from "./world.js";

/** The records of the world's JSON files. Each file is one array, with one record a line. */

export interface Turn {
  readonly from: "human" | "gpt";
  readonly value: string;
}

/** `encoder.json`: a picture, or with `region` one cell of it, and captions that are all true of it. */
export interface EncoderRecord {
  readonly id: string;
  readonly image: string;
  readonly captions: readonly string[];
  /** x, y, width, height in pixels, along the patches. */
  readonly region?: readonly [number, number, number, number];
}

/** `captions.json`, LLaVA's format: the first turn is "<image>", the second the caption. */
export interface CaptionRecord {
  readonly id: string;
  readonly image: string;
  readonly conversations: readonly [Turn, Turn];
}

/** `tuning.json`, `test-seen.json` and `test-novel.json`, LLaVA's format: one question a record. */
export interface QuestionRecord extends CaptionRecord {
  readonly type: QuestionType;
  readonly group: Group;
}

/**
 * `text.json`, for the language model alone. A scene has one retelling, then its questions. Their `context` is the same
 * string, a caption, so that it can be the shared prefix of a scene's records as the image is of a picture's. To retell
 * is to say the caption again in another order, with an empty question: in text, what captioning asks of a picture.
 */
export interface RetellingRecord {
  readonly id: string;
  readonly context: string;
  readonly conversations: readonly [Turn, Turn];
}
export interface TextQuestionRecord extends RetellingRecord {
  readonly type: QuestionType;
  readonly group: Group;
}

/** The whole picture with both captions, then each object and the digit alone. */
export function encoderRecords(id: string, image: string, scene: Scene, random: Random): EncoderRecord[] {
  const records: EncoderRecord[] = [{ id, image, captions: [fullCaption(scene, random), namesCaption(scene, random)] }];
  const add = (cell: number, captions: string[]) => {
    const corner = [(cell % 2) * CELL_SIZE, Math.floor(cell / 2) * CELL_SIZE] as const;
    records.push({ id: `${id}-cell${cell}`, image, captions, region: [...corner, CELL_SIZE, CELL_SIZE] });
  };
  for (const object of scene.objects) add(object.plate.cell, cellCaptions(object));
  if (scene.digit) add(scene.digit.plate.cell, [`digit ${scene.digit.value}`]);
  return records;
}

export function captionRecord(id: string, image: string, scene: Scene, random: Random): CaptionRecord {
  return { id, image, conversations: turns("<image>", fullCaption(scene, random)) };
}

export function tuningRecords(
  id: string,
  image: string,
  scene: Scene,
  things: Things,
  count: number,
  random: Random,
): QuestionRecord[] {
  return trainingQuestions(scene, things, count, random).map((question, i) =>
    questionRecord(`${id}-${i}`, image, question),
  );
}

export function testRecords(
  id: string,
  image: string,
  scene: Scene,
  things: Things,
  isNovel: boolean,
  random: Random,
): QuestionRecord[] {
  return testQuestions(scene, things, isNovel, random).map((question) =>
    questionRecord(`${id}-${question.type}`, image, question),
  );
}

function questionRecord(id: string, image: string, { type, question, answer }: Question): QuestionRecord {
  const { group } = QUESTION_TYPES[type];
  return { id, image, conversations: turns(`<image>\n${question}`, answer), type, group };
}

export function textRecords(
  id: string,
  scene: Scene,
  things: Things,
  count: number,
  random: Random,
): (RetellingRecord | TextQuestionRecord)[] {
  const context = fullCaption(scene, random);
  const questions = trainingQuestions(scene, things, count, random).map(({ type, question, answer }, i) => {
    const { group } = QUESTION_TYPES[type];
    return { id: `${id}-${i}`, context, conversations: turns(question, answer), type, group };
  });
  const retold = turns("", fullCaption(scene, random.fork("retelling")));
  return [{ id: `${id}-retold`, context, conversations: retold }, ...questions];
}

function turns(human: string, gpt: string): [Turn, Turn] {
  return [
    { from: "human", value: human },
    { from: "gpt", value: gpt },
  ];
}
