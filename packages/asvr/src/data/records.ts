import { z } from "zod";
import { DataError } from "../errors.js";
import type { Fault, FaultKind } from "../fault.js";
import { IMAGE_TAG } from "../language/conversation.js";
import { type Element, elementsOf, MAX_ELEMENT_BYTES } from "./elements.js";
import { quoted, requireWithinBudget } from "./faults.js";
import { NearPictures } from "./near-pictures.js";
import { resolveImage } from "./paths.js";
import { recordForm, turnForm } from "./record-form.js";

/** A record in LLaVA's format. Fields that are not named here are left out. */
export interface LlavaRecord {
  id: string;
  /** Path of the picture inside the images folder; none: a text-only record. */
  image?: string;
  /**
   * Human and model by turns, the human first; `<image>` once, in a human turn, if there is a picture. An answer that
   * stands before the first question in the file is left out, as in LLaVA.
   */
  conversations: { from: "human" | "gpt"; value: string }[];
  /** Text in the place of a picture: read and not learnt, and shared by its questions in packing. */
  context?: string;
  /** What kind of question it is, for reports. */
  type?: string;
  /** What belongs together, such as the source of the record. */
  group?: string;
}

export interface RecordOptions {
  /** Where the pictures are. */
  imagesFolder?: string;
  /** LLaVA's own mixtures use an id again for another question on its picture: "number" calls those `id#2`, `id#3`. */
  duplicateIds?: "fault" | "number";
}

export interface Records {
  /** The good ones, in order. */
  records: LlavaRecord[];
  /** Of each of them, its place in the file. */
  places: number[];
  /** Of the others, everything that is wrong with them; and of the file as a whole. */
  faults: Fault[];
  /** Records that the file holds, good and bad. */
  total: number;
}

/** A file of more faulty records is none of records. Its faults must not fill the memory. */
const MOST_BAD = 100_000;

/**
 * Reads a JSON array of records, or JSONL if the name ends so, and checks each one, its picture's path included (the
 * picture itself: `readDataset`). What is wrong is among the faults, a file that breaks off too. Of a record the first
 * few faults are told and the rest counted; after very many faulty records the reading ends.
 * @throws Error of the file system when the file cannot be opened
 */
export async function readRecords(file: string, options: RecordOptions = {}): Promise<Records> {
  const found: Records = { records: [], places: [], faults: [], total: 0 };
  const seen: Seen = { ids: new Map(), near: new NearPictures(options.imagesFolder ?? "") };
  let bad = 0;
  try {
    for await (const element of elementsOf(file)) {
      found.total++;
      const { record, faults } = checkRecord(element, seen, options);
      for (const fault of faults) found.faults.push({ file, index: element.index, ...fault });
      if (record) {
        found.records.push(record);
        found.places.push(element.index);
      } else if (++bad > MOST_BAD) {
        const message = `more than ${MOST_BAD.toLocaleString("en")} of its first ${found.total.toLocaleString("en")} records are faulty; the rest was not looked at.`;
        found.faults.push({ file, index: -1, field: "", kind: "too-many-faults", message });
        break;
      }
    }
  } catch (error) {
    if (!(error instanceof DataError) || error.faults.length === 0) throw error;
    found.faults.push(...error.faults);
  }
  return found;
}

/**
 * The good records of a file, where few enough are bad.
 * @param options `maxBad`: how many faulty records may be left out
 * @throws DataError when more than `maxBad` records are faulty, or the file cannot be read as records to its end
 */
export async function loadRecords(
  file: string,
  { maxBad = 0, ...options }: RecordOptions & { maxBad?: number } = {},
): Promise<Records> {
  const found = await readRecords(file, options);
  requireWithinBudget(found.faults, found.total, maxBad, `records of ${file}`);
  return found;
}

/** A fault that does not say yet in which record it is. */
type RecordFault = Pick<Fault, "kind" | "field" | "message">;

/** What is known from the records before. */
interface Seen {
  /** How often there was an id. */
  readonly ids: Map<string, number>;
  readonly near: NearPictures;
}

function checkRecord(
  { bytes }: Element,
  { ids, near }: Seen,
  { imagesFolder, duplicateIds = "fault" }: RecordOptions,
): { record?: LlavaRecord; faults: RecordFault[] } {
  const parsed = parseRecord(bytes);
  if (Array.isArray(parsed)) return { faults: parsed };
  const { id, image, conversations, context, type, group } = parsed;
  const count = (ids.get(id) ?? 0) + 1;
  ids.set(id, count);
  const faults = [
    ...(count > 1 && duplicateIds === "fault" ? [duplicateId(id)] : []),
    ...few(checkTurns(conversations)),
    ...few(checkTags(conversations, image !== null && image !== undefined)),
    ...(image == null ? [] : checkImagePath(image, imagesFolder, near)),
  ];
  if (faults.length > 0) return { faults };
  const asked = (conversations as Turns).slice(firstQuestion(conversations));
  const record: LlavaRecord = {
    id: count > 1 ? `${id}#${count}` : id,
    ...(image != null && { image }),
    conversations: asked.map(({ from, value }) => ({ from: from as "human" | "gpt", value })), // checkTurns has looked at the roles
    ...(context != null && { context }),
    ...(type != null && { type }),
    ...(group != null && { group }),
  };
  return { record, faults };
}

const schema = z.object({
  id: z.union([z.string().min(1), z.number().transform(String)]), // some mixtures have numbers
  image: z.string().nullish(),
  context: z.string().min(1).nullish(),
  conversations: z.array(z.unknown()).min(1), // each turn: isTurn, which makes no object of what is wrong with it
  type: z.string().nullish(),
  group: z.string().nullish(),
});
type Turns = readonly { from: string; value: string }[];
type ParsedRecord = z.infer<typeof schema> & { conversations: Turns };

function isTurn(value: unknown): value is Turns[number] {
  const { from, value: said } = (value ?? {}) as Record<string, unknown>;
  return typeof from === "string" && typeof said === "string";
}

/** Faults of one record that are told; the rest is counted. */
const FEW = 5;

/** The first faults; one more says how many others there are. */
function few(faults: Iterable<RecordFault>): RecordFault[] {
  const told: RecordFault[] = [];
  let left = 0;
  for (const one of faults) {
    if (told.length < FEW) told.push(one);
    else left++;
  }
  if (left > 0) told.push(fault(told[0]!.kind, "", `and ${left.toLocaleString("en")} more in this record.`));
  return told;
}

/** The record, or why its bytes are none. */
function parseRecord(bytes: Buffer | null): ParsedRecord | RecordFault[] {
  if (bytes === null) return [fault("too-long", "", `it is over ${MAX_ELEMENT_BYTES} bytes.`)];
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return [fault("invalid-utf8", "", "it has bytes that are not UTF-8. Convert the file to UTF-8.")];
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return [fault("invalid-json", "", `${(error as Error).message}.`)];
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const fields = new Set(parsed.error.issues.map(({ path }) => String(path[0] ?? "")));
    return recordForm(value, fields).map(({ field, message }) => fault("wrong-shape", field, message));
  }
  const wrong = few(checkForm(parsed.data.conversations));
  return wrong.length > 0 ? wrong : (parsed.data as ParsedRecord);
}

function* checkForm(turns: readonly unknown[]): Generator<RecordFault> {
  for (const [turn, value] of turns.entries()) {
    if (isTurn(value)) continue;
    const { field, message } = turnForm(value);
    yield fault("wrong-shape", `conversations[${turn}]${field}`, message);
  }
}

function fault(kind: FaultKind, field: string, message: string): RecordFault {
  return { kind, field, message };
}

function duplicateId(id: string): RecordFault {
  return fault("duplicate-id", "id", `${quoted(id)} names an earlier record too. Give each record its own id.`);
}

/** Other formats' names of the two roles. */
const renamed: Readonly<Record<string, string>> = { user: "human", assistant: "gpt", model: "gpt", bot: "gpt" };

/** The turn with which a conversation begins for the model: a first answer has no question to be learnt from. */
function firstQuestion(turns: Turns): 0 | 1 {
  return turns[0]?.from === "gpt" ? 1 : 0;
}

/** Roles, their order, and that the model says something. */
function* checkTurns(turns: Turns): Generator<RecordFault> {
  let isKnown = true;
  for (const [turn, { from, value }] of turns.entries()) {
    if (turn < firstQuestion(turns)) continue;
    if (from !== "human" && from !== "gpt") {
      isKnown = false;
      const advice = Object.hasOwn(renamed, from) ? ` Write "${renamed[from]}".` : "";
      const message = `the role is ${quoted(from)}; it must be "human" or "gpt".${advice}`;
      yield fault("unknown-role", `conversations[${turn}].from`, message);
    } else if (from === "gpt" && value.trim() === "") {
      const message = "the answer is empty: there is nothing to learn to say.";
      yield fault("empty-answer", `conversations[${turn}].value`, message);
    }
  }
  if (isKnown) yield* checkOrder(turns); // with an unknown role nobody can tell whose turn it is
}

function checkOrder(turns: Turns): RecordFault[] {
  const first = firstQuestion(turns);
  const wrong = turns.findIndex(({ from }, turn) => turn >= first && from !== (turn % 2 === first ? "human" : "gpt"));
  if (wrong >= 0) {
    const message = `it is from ${turns[wrong]!.from}, out of order; turns must go human, gpt, human, gpt and so on.`;
    return [fault("turn-order", `conversations[${wrong}].from`, message)];
  }
  if (turns.length === first) {
    return [fault("turn-order", "conversations[0].from", "it answers no question; put one before it, from human.")];
  }
  if (turns.length % 2 === first) return [];
  return [fault("turn-order", `conversations[${turns.length - 1}]`, "the last question has no answer.")];
}

/** One tag for a picture, in a question; none without one. */
function* checkTags(turns: Turns, hasImage: boolean): Generator<RecordFault> {
  const field = (turn: number) => `conversations[${turn}].value`;
  let tags = 0; // in questions
  let last = 0; // turn with one
  let isInAnswer = false;
  for (const [turn, { from, value }] of turns.entries()) {
    const count = value.split(IMAGE_TAG).length - 1;
    if (count === 0) continue;
    if (from === "gpt") {
      isInAnswer = true;
      yield fault("image-token-in-answer", field(turn), `${IMAGE_TAG} belongs into a human turn.`);
    } else {
      tags += count;
      last = turn;
    }
  }
  if (!hasImage && tags > 0) {
    const message = `it has ${IMAGE_TAG} without a picture: the record names no image.`;
    yield fault("image-token-without-image", field(last), message);
  } else if (hasImage && tags === 0 && !isInAnswer) {
    const message = `the record names an image: put ${IMAGE_TAG} where the picture belongs, as a rule before the first question.`;
    yield fault("image-token-missing", field(last), message);
  } else if (tags > 1) {
    yield fault("image-token-doubled", field(last), `${tags} times ${IMAGE_TAG} for one image; keep one.`);
  }
}

function checkImagePath(image: string, imagesFolder: string | undefined, names: NearPictures): RecordFault[] {
  if (imagesFolder === undefined) {
    return [
      fault(
        "missing-image",
        "image",
        "it names a picture, but no images folder was given (--images; of training data.images).",
      ),
    ];
  }
  try {
    resolveImage(imagesFolder, image);
    return [];
  } catch (error) {
    const found = error instanceof DataError ? error.faults[0] : undefined;
    if (found === undefined) throw error;
    const near = found.kind === "missing-image" ? names.near(image) : undefined;
    return [fault(found.kind, "image", near === undefined ? found.message : `${found.message} ${near}`)];
  }
}
