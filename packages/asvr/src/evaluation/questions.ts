import type { LlavaRecord } from "../data/records.js";
import { encodeRecord, IGNORE_INDEX, IMAGE_TOKEN_INDEX, type ImageRef, type Sample } from "../data/samples.js";
import { DataError } from "../errors.js";
import { type ConversationTemplate, IMAGE_TAG } from "../language/conversation.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import type { Prediction } from "../runs/run-folder.js";

/** A question of a test set: its prompt as a sample without targets, and the answer it is held against. */
export interface TestQuestion {
  record: LlavaRecord;
  question: string;
  answer: string;
  prompt: Sample;
}

/** The prompt of a record: everything up to where its (last) answer begins. @throws DataError for one without an answer */
export function testQuestion(
  record: LlavaRecord,
  tokenizer: TextTokenizer,
  template: ConversationTemplate,
  imageRef: (image: string) => ImageRef,
): TestQuestion {
  const asked = record.conversations.at(-2);
  const answered = record.conversations.at(-1);
  if (asked?.from !== "human" || answered?.from !== "gpt") {
    throw new DataError(`record ${record.id}: a test record ends with a question and its answer`);
  }
  const turns = { ...record, conversations: record.conversations.slice(0, -1) };
  const inputIds = Int32Array.from(encodeRecord(turns, { tokenizer, template }).inputIds);
  if (record.image !== undefined && !inputIds.includes(IMAGE_TOKEN_INDEX)) {
    throw new DataError(`record ${record.id} has a picture, but its question no <image>`);
  }
  return {
    record,
    ...wordsOf(record),
    prompt: {
      id: record.id,
      ...(record.image !== undefined && { image: imageRef(record.image) }),
      inputIds,
      labels: inputIds.map(() => IGNORE_INDEX),
    },
  };
}

/**
 * A question for each answer of a record, with the turns before it as they are given: `ID#2` is the second one's.
 */
export function questionsOf(
  record: LlavaRecord,
  tokenizer: TextTokenizer,
  template: ConversationTemplate,
  imageRef: (image: string) => ImageRef,
): TestQuestion[] {
  return byAnswer(record).map((one) => testQuestion(one, tokenizer, template, imageRef));
}

/** A record for each answer, which ends with it; one whose picture is shown later has none. */
export function byAnswer(record: LlavaRecord): LlavaRecord[] {
  const { id, image, conversations } = record;
  const count = conversations.length / 2;
  return Array.from({ length: count }, (_, answer) => {
    const turns = conversations.slice(0, 2 * answer + 2);
    const isShown = image !== undefined && turns.some(({ value }) => value.includes(IMAGE_TAG));
    const asked: LlavaRecord = { ...record, id: count > 1 ? `${id}#${answer + 1}` : id, conversations: turns };
    if (!isShown) delete asked.image;
    return asked;
  });
}

/** The last question and its answer. */
function wordsOf({ conversations }: Pick<LlavaRecord, "conversations">): { question: string; answer: string } {
  const [asked, answered] = conversations.slice(-2);
  return { question: asked!.value.replace(IMAGE_TAG, "").trim(), answer: answered!.value.trim() };
}

/** What was answered to a record's last question, held against its answer by exact match. */
export function predictionOf({ id, image, type, group, conversations }: LlavaRecord, answered: string): Prediction {
  const { question, answer } = wordsOf({ conversations });
  const prediction = answered.trim();
  const correct = isExactMatch(prediction, answer);
  return { id, image: image ?? "", type: type ?? "", group: group ?? "", question, answer, prediction, correct };
}

/** As exact match counts: case and surrounding space do not matter. */
export function isExactMatch(prediction: string, answer: string): boolean {
  const plain = (text: string) => text.trim().toLowerCase();
  return plain(prediction) === plain(answer);
}
