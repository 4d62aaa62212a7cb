import { extname } from "node:path";
import { z } from "zod";
import { DataError } from "../errors.js";
import { IMAGE_TAG } from "../language/conversation.js";
import { arrayElements, lineElements } from "./elements.js";
import { type Fault, type FaultKind, requireWithinBudget } from "./faults.js";
import { resolveImage } from "./paths.js";

/** A record in LLaVA's format. Fields that are not named here are left out. */
export interface LlavaRecord {
  id: string;
  /** Path of the picture inside the images folder; none: a text-only record. */
  image?: string;
  /** Human and model by turns, the human first; `<image>` once, in a human turn, if there is a picture. */
  conversations: { from: "human" | "gpt"; value: string }[];
  /** Text in the place of a picture: read and not learnt, and shared by its questions in packing. */
  context?: string;
  /** What kind of question it is, for reports. */
  type?: string;
  /** What belongs together, such as the source of the record. */
  group?: string;
}

export interface LoadRecordsOptions {
  /** Where the pictures are. */
  imagesFolder?: string;
  /** How many faulty records may be left out. */
  maxBad?: number;
  /** LLaVA's own mixtures use an id again for another question on its picture: "number" calls those `id#2`, `id#3`. */
  duplicateIds?: "fault" | "number";
}

/**
 * Reads a JSON array of records, or JSONL if the name ends so, and checks each one, its picture's path included (the
 * picture itself: `checkImages`).
 * @returns the good records in order, and the first fault of each other one
 * @throws DataError when more than `maxBad` records are faulty, or the file cannot be read as records at all
 */
export async function loadRecords(
  file: string,
  { imagesFolder, maxBad = 0, duplicateIds = "fault" }: LoadRecordsOptions = {},
): Promise<{ records: LlavaRecord[]; faults: Fault[] }> {
  const seen = new Map<string, number>(); // id -> how often
  return readRecords(file, maxBad, (value) => {
    const record = parseRecord(value);
    checkConversations(record);
    if (record.image !== undefined) checkImagePath(record.image, imagesFolder);
    return checkId(record, seen, duplicateIds);
  });
}

async function readRecords<T>(
  file: string,
  maxBad: number,
  check: (value: unknown) => T,
): Promise<{ records: T[]; faults: Fault[] }> {
  const records: T[] = [];
  const faults: Fault[] = [];
  const elements = extname(file) === ".jsonl" ? lineElements(file) : arrayElements(file);
  for await (const element of elements) {
    try {
      records.push(check(parseJson(decodeUtf8(element.bytes))));
    } catch (error) {
      if (!(error instanceof RecordFault)) throw error;
      const { field, kind, message } = error;
      faults.push({ file, index: element.index, field, kind, message });
    }
  }
  requireWithinBudget(faults, records.length + faults.length, maxBad, `records of ${file}`);
  return { records, faults };
}

/** A fault that does not know yet in which record it is. */
class RecordFault extends Error {
  constructor(
    readonly kind: FaultKind,
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

const id = z.union([z.string().min(1), z.number().transform(String)]); // some mixtures have numbers
const schema = z.object({
  id,
  image: z.string().nullish(),
  context: z.string().min(1).nullish(),
  conversations: z.array(z.object({ from: z.string(), value: z.string() })).min(1),
  type: z.string().nullish(),
  group: z.string().nullish(),
});

function parse<T>(shape: z.ZodType<T>, value: unknown): T {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new RecordFault("wrong-shape", fieldName(issue.path), `${issue.message}.`);
}

function parseRecord(value: unknown): LlavaRecord {
  const { id, image, context, type, group, conversations: turns } = parse(schema, value);
  const conversations = turns.map(({ from, value }, turn) => {
    if (from === "human" || from === "gpt") return { from, value } as const;
    const message = `the role is ${JSON.stringify(from)}; it must be "human" or "gpt".`;
    throw new RecordFault("unknown-role", `conversations[${turn}].from`, message);
  });
  return {
    id,
    ...(image != null && { image }),
    conversations,
    ...(context != null && { context }),
    ...(type != null && { type }),
    ...(group != null && { group }),
  };
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new RecordFault("invalid-utf8", "", "it has bytes that are not UTF-8. Convert the file to UTF-8.");
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RecordFault("invalid-json", "", `${(error as Error).message}.`);
  }
}

function checkConversations({ image, conversations }: LlavaRecord): void {
  const tagged: number[] = []; // the turn of each tag
  for (const [turn, { from, value }] of conversations.entries()) {
    const expected = turn % 2 === 0 ? "human" : "gpt";
    const field = `conversations[${turn}].value`;
    if (from !== expected) {
      const message = `it is from ${from}; turns must go human, gpt, human, gpt, …`;
      throw new RecordFault("turn-order", `conversations[${turn}].from`, message);
    }
    const tags = value.split(IMAGE_TAG).length - 1;
    for (let tag = 0; tag < tags; tag++) tagged.push(turn);
    if (from !== "gpt") continue;
    if (value.trim() === "") throw new RecordFault("empty-answer", field, "there is nothing to learn to say.");
    if (tags > 0) throw new RecordFault("image-token-in-answer", field, `${IMAGE_TAG} belongs into a human turn.`);
  }
  if (conversations.length % 2 === 1) {
    throw new RecordFault(
      "turn-order",
      `conversations[${conversations.length - 1}]`,
      "the last question has no answer.",
    );
  }
  const place = `conversations[${tagged.at(-1) ?? 0}].value`;
  if (image === undefined) {
    if (tagged.length > 0) {
      throw new RecordFault("image-token-without-image", place, `it has ${IMAGE_TAG}, but the record names no image.`);
    }
  } else if (tagged.length === 0) {
    const message = `the record names an image: put ${IMAGE_TAG} where the picture belongs, as a rule before the first question.`;
    throw new RecordFault("image-token-missing", place, message);
  } else if (tagged.length > 1) {
    throw new RecordFault("image-token-doubled", place, `${tagged.length} times ${IMAGE_TAG} for one image; keep one.`);
  }
}

function checkImagePath(image: string, imagesFolder: string | undefined): void {
  if (imagesFolder === undefined) {
    throw new RecordFault("missing-image", "image", "no images folder was given: set imagesFolder.");
  }
  try {
    resolveImage(imagesFolder, image);
  } catch (error) {
    const fault = error instanceof DataError ? error.faults[0] : undefined;
    if (fault === undefined) throw error;
    throw new RecordFault(fault.kind, "image", fault.message);
  }
}

function checkId<T extends { id: string }>(record: T, seen: Map<string, number>, duplicates: "fault" | "number"): T {
  const count = (seen.get(record.id) ?? 0) + 1;
  seen.set(record.id, count);
  if (count === 1) return record;
  if (duplicates === "number") return { ...record, id: `${record.id}#${count}` };
  const message = `${JSON.stringify(record.id)} names an earlier record too. Set duplicateIds: "number" to tell them apart.`;
  throw new RecordFault("duplicate-id", "id", message);
}

/** ["conversations", 1, "value"] -> "conversations[1].value" */
function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return name === "" ? String(key) : `${name}.${String(key)}`;
  }, "");
}
