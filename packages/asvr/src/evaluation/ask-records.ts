import { type AnswerAllOptions, answerAll, type ChatRequest } from "../chat/answer-all.js";
import type { ChatMessage, ChatModel } from "../chat/chat-model.js";
import { readDataset } from "../data/dataset.js";
import { countBad, requireWithinBudget } from "../data/faults.js";
import { decodeImage, type RgbImage } from "../data/images.js";
import { resolveImage } from "../data/paths.js";
import type { LlavaRecord } from "../data/records.js";
import { ConfigError } from "../errors.js";
import type { Fault } from "../fault.js";
import { IMAGE_TAG } from "../language/conversation.js";
import type { Prediction } from "../runs/run-folder.js";
import { byAnswer, predictionOf } from "./questions.js";

/** What a model answered to a user's records. */
export interface RecordAnswers {
  predictions: Prediction[];
  /** Good records of the file, and those that were left out: each of their faults. */
  records: number;
  bad: number;
  faults: Fault[];
}

export interface AskRecordsOptions extends Pick<AnswerAllOptions, "maxRunning" | "signal"> {
  /** Folder of the pictures; null for text alone. */
  images: string | null;
  /** How many faulty records may be left out. */
  maxBad: number;
  maxNewTokens: number;
  onProgress?: (phase: "pictures" | "answering", done: number, total: number) => void;
}

/**
 * Asks any model a user's records, greedily, each answer's question with the turns before it as they are given. A
 * record's context is said before its first question. All records and pictures are looked at first.
 * @throws DataError when more than `maxBad` records are faulty
 * @throws ConfigError when no record is left
 */
export async function askRecords(model: ChatModel, file: string, options: AskRecordsOptions): Promise<RecordAnswers> {
  const { images, maxBad, maxNewTokens, maxRunning, signal, onProgress } = options;
  const dataset = await readDataset(file, {
    ...(images !== null && { imagesFolder: images }),
    lookAt: async (path) => void (await decodeImage(path)),
    onProgress: (done, total) => onProgress?.("pictures", done, total),
    ...(signal && { signal }),
  });
  requireWithinBudget(dataset.faults, dataset.total, maxBad, `records of ${file}`);
  if (dataset.records.length === 0) throw new ConfigError(`${file} has no good record to ask about`);
  const asked = dataset.records.flatMap(byAnswer);
  const predictions = new Map<string, Prediction>();
  const requests = requestsFor(asked, images, maxNewTokens);
  const engine = { refusals: "answer", ...(maxRunning && { maxRunning }), ...(signal && { signal }) } as const;
  const records = new Map(asked.map((record) => [record.id, record]));
  for await (const { id, text, refused } of answerAll(model, requests, engine)) {
    predictions.set(id, { ...predictionOf(records.get(id)!, text), ...(refused !== undefined && { refused }) });
    onProgress?.("answering", predictions.size, asked.length);
  }
  return {
    predictions: asked.map(({ id }) => predictions.get(id)!),
    records: dataset.records.length,
    bad: countBad(dataset.faults),
    faults: dataset.faults,
  };
}

async function* requestsFor(
  records: readonly LlavaRecord[],
  images: string | null,
  maxNewTokens: number,
): AsyncGenerator<ChatRequest> {
  let last: { path: string; picture: RgbImage } | undefined; // the next question is mostly about the same picture
  for (const record of records) {
    const { id, image } = record;
    const path = image === undefined ? undefined : resolveImage(images!, image);
    if (path !== undefined && last?.path !== path) last = { path, picture: await decodeImage(path) };
    const messages = messagesOf(record, path === undefined ? undefined : last?.picture);
    yield { id, messages, maxNewTokens, temperature: 0 };
  }
}

/** The turns up to the last question; a picture stands before the text of the question that has its tag. */
function messagesOf({ conversations, context }: LlavaRecord, picture: RgbImage | undefined): ChatMessage[] {
  return conversations.slice(0, -1).map(({ from, value }, turn) => {
    if (from === "gpt") return { role: "assistant", content: value };
    const said = value.replaceAll(IMAGE_TAG, "").trim();
    const text = turn === 0 && context !== undefined ? `${context}\n${said}` : said;
    if (picture === undefined || !value.includes(IMAGE_TAG)) return { role: "user", content: text };
    return {
      role: "user",
      content: [
        { type: "image", image: picture },
        { type: "text", text },
      ],
    };
  });
}
