import { quoted } from "./faults.js";

/** What is wrong with the form of a record, and the form that is wanted. */
export interface WrongForm {
  /** Empty: the whole. */
  readonly field: string;
  readonly message: string;
}

const turns = '[{"from": "human", "value": "<image>\\nWhat is it?"}, {"from": "gpt", "value": "A cat."}]';
const wanted: Readonly<Record<string, string>> = {
  id: 'Give each record its own id, such as "id": "17".',
  image: 'It must be the path of one picture, such as "image": "cat.png".',
  context: "It must be a text, or be left out.",
  conversations: `It must be a list of turns: ${turns}.`,
  type: "It must be a text, or be left out.",
  group: "It must be a text, or be left out.",
};

/**
 * What a value is that is no record, in words.
 * @param fields those that are wrong; the empty one stands for the whole
 */
export function recordForm(value: unknown, fields: ReadonlySet<string>): WrongForm[] {
  if (fields.has("")) {
    return [{ field: "", message: `it is ${described(value)}; a record is an object with an id and conversations.` }];
  }
  const record = value as Readonly<Record<string, unknown>>;
  if (record.conversations === undefined && Array.isArray(record.messages)) {
    const form = `{"id": "17", "image": "cat.png", "conversations": ${turns}}`;
    const message = `it is a record of OpenAI's form (messages with role and content). Write it in LLaVA's: ${form}.`;
    return [{ field: "messages", message }];
  }
  return [...fields].map((field) => ({ field, message: `it is ${described(record[field])}. ${wanted[field] ?? ""}` }));
}

/** What a value is that is no turn, in words. */
export function turnForm(value: unknown): WrongForm {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { field: "", message: `it is ${described(value)}; a turn is an object with "from" and "value".` };
  }
  const turn = value as Readonly<Record<string, unknown>>;
  if ("role" in turn && "content" in turn) {
    const message = `it has "role" and "content", as OpenAI's messages. Write the turns so: ${turns}.`;
    return { field: "", message };
  }
  const field = typeof turn.from === "string" ? "value" : "from";
  return { field: `.${field}`, message: `it is ${described(turn[field])}; it must be a text.` };
}

function described(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (value === "") return "empty";
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  return typeof value === "object" ? "an object" : String(value);
}
