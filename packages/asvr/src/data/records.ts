import { extname } from "node:path";
import { z } from "zod";
import { DataError } from "../errors.js";
import { IMAGE_TAG } from "../language/conversation.js";
import { arrayElements, type Element, lineElements, MAX_ELEMENT_BYTES } from "./elements.js";
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

/**
 * Reads a JSON array of records, or JSONL if the name ends so, and checks each one, its picture's path included (the
 * picture itself: `readDataset`). What is wrong is among the faults, a file that breaks off too.
 * @throws Error of the file system when the file cannot be opened
 */
export async function readRecords(file: string, options: RecordOptions = {}): Promise<Records> {
  const found: Records = { records: [], places: [], faults: [], total: 0 };
  const seen = new Map<string, number>(); // id -> how often
  const elements = extname(file) === ".jsonl" ? lineElements(file) : arrayElements(file);
  try {
    for await (const element of elements) {
      found.total++;
      const { record, faults } = checkRecord(element, seen, options);
      for (const fault of faults) found.faults.push({ file, index: element.index, ...fault });
      if (!record) continue;
      found.records.push(record);
      found.places.push(element.index);
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

function checkRecord(
  { bytes }: Element,
  seen: Map<string, number>,
  { imagesFolder, duplicateIds = "fault" }: RecordOptions,
): { record?: LlavaRecord; faults: RecordFault[] } {
  const parsed = parseRecord(bytes);
  if (Array.isArray(parsed)) return { faults: parsed };
  const { id, image, conversations, context, type, group } = parsed;
  const count = (seen.get(id) ?? 0) + 1;
  seen.set(id, count);
  const faults = [
    ...(count > 1 && duplicateIds === "fault" ? [duplicateId(id)] : []),
    ...checkTurns(conversations),
    ...checkTags(conversations, image !== null && image !== undefined),
    ...(image == null ? [] : checkImagePath(image, imagesFolder)),
  ];
  if (faults.length > 0) return { faults };
  const record: LlavaRecord = {
    id: count > 1 ? `${id}#${count}` : id,
    ...(image != null && { image }),
    conversations: conversations as LlavaRecord["conversations"], // checkTurns has looked at the roles
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
  conversations: z.array(z.object({ from: z.string(), value: z.string() })).min(1),
  type: z.string().nullish(),
  group: z.string().nullish(),
});
type ParsedRecord = z.infer<typeof schema>;
type Turns = ParsedRecord["conversations"];

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
  if (parsed.success) return parsed.data;
  return parsed.error.issues.map(({ path, message }) => fault("wrong-shape", fieldName(path), `${message}.`));
}

function fault(kind: FaultKind, field: string, message: string): RecordFault {
  return { kind, field, message };
}

function duplicateId(id: string): RecordFault {
  return fault("duplicate-id", "id", `${JSON.stringify(id)} names an earlier record too. Give each record its own id.`);
}

/** Other formats' names of the two roles. */
const renamed: Readonly<Record<string, string>> = { user: "human", assistant: "gpt", model: "gpt", bot: "gpt" };

/** Roles, their order, and that the model says something. */
function checkTurns(turns: Turns): RecordFault[] {
  const unknown = turns.flatMap(({ from }, turn) => {
    if (from === "human" || from === "gpt") return [];
    const advice = Object.hasOwn(renamed, from) ? ` Write "${renamed[from]}".` : "";
    const message = `the role is ${JSON.stringify(from)}; it must be "human" or "gpt".${advice}`;
    return [fault("unknown-role", `conversations[${turn}].from`, message)];
  });
  const empty = turns.flatMap(({ from, value }, turn) =>
    from === "gpt" && value.trim() === ""
      ? [
          fault(
            "empty-answer",
            `conversations[${turn}].value`,
            "the answer is empty: there is nothing to learn to say.",
          ),
        ]
      : [],
  );
  // With an unknown role nobody can tell whose turn it is.
  return [...unknown, ...empty, ...(unknown.length > 0 ? [] : checkOrder(turns))];
}

function checkOrder(turns: Turns): RecordFault[] {
  const wrong = turns.findIndex(({ from }, turn) => from !== (turn % 2 === 0 ? "human" : "gpt"));
  if (wrong >= 0) {
    const message = `it is from ${turns[wrong]!.from}, out of order; turns must go human, gpt, human, gpt and so on.`;
    return [fault("turn-order", `conversations[${wrong}].from`, message)];
  }
  if (turns.length % 2 === 0) return [];
  return [fault("turn-order", `conversations[${turns.length - 1}]`, "the last question has no answer.")];
}

/** One tag for a picture, in a question; none without one. */
function checkTags(turns: Turns, hasImage: boolean): RecordFault[] {
  const tagsOf = (value: string) => value.split(IMAGE_TAG).length - 1;
  const field = (turn: number) => `conversations[${turn}].value`;
  const inAnswers = turns.flatMap(({ from, value }, turn) =>
    from === "gpt" && tagsOf(value) > 0
      ? [fault("image-token-in-answer", field(turn), `${IMAGE_TAG} belongs into a human turn.`)]
      : [],
  );
  const tagged = turns.flatMap(({ from, value }, turn) => (from === "gpt" ? [] : Array(tagsOf(value)).fill(turn)));
  const place = field((tagged.at(-1) as number | undefined) ?? 0);
  if (!hasImage && tagged.length > 0) {
    const message = `it has ${IMAGE_TAG} without a picture: the record names no image.`;
    return [...inAnswers, fault("image-token-without-image", place, message)];
  }
  if (hasImage && tagged.length === 0) {
    if (inAnswers.length > 0) return inAnswers;
    const message = `the record names an image: put ${IMAGE_TAG} where the picture belongs, as a rule before the first question.`;
    return [fault("image-token-missing", place, message)];
  }
  if (tagged.length > 1) {
    const message = `${tagged.length} times ${IMAGE_TAG} for one image; keep one.`;
    return [...inAnswers, fault("image-token-doubled", place, message)];
  }
  return inAnswers;
}

function checkImagePath(image: string, imagesFolder: string | undefined): RecordFault[] {
  if (imagesFolder === undefined) {
    return [fault("missing-image", "image", "it names a picture, but no images folder was given.")];
  }
  try {
    resolveImage(imagesFolder, image);
    return [];
  } catch (error) {
    const found = error instanceof DataError ? error.faults[0] : undefined;
    if (found === undefined) throw error;
    return [fault(found.kind, "image", found.message)];
  }
}

/** ["conversations", 1, "value"] -> "conversations[1].value" */
function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === "number") return `${name}[${key}]`;
    return name === "" ? String(key) : `${name}.${String(key)}`;
  }, "");
}
