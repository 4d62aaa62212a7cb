import { TextDecoder } from "node:util";
import { ConfigError } from "../../errors.js";
import { fieldsOf } from "./wire.js";

export type PieceKind = "normal" | "unknown" | "control" | "userDefined" | "unused" | "byte";

export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly kind: PieceKind;
}

/** What a SentencePiece file says, as far as reading and writing text needs it. */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly kind: "unigram" | "bpe";
  readonly byteFallback: boolean;
  readonly whitespaceAsSuffix: boolean;
  readonly normalizer: NormalizerSpec;
}

export interface NormalizerSpec {
  /** Rules of replacement, compiled; empty for none. */
  readonly charsMap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
}

/** A vocabulary of a million pieces is four times the largest that is in use. */
const MOST_PIECES = 1_000_000;

/** By the number that files give them. */
export const pieceKinds: readonly (PieceKind | undefined)[] = [
  undefined,
  "normal",
  "unknown",
  "control",
  "userDefined",
  "unused",
  "byte",
];
const modelKinds = [undefined, "unigram", "bpe", "word", "char"] as const;

/**
 * Reads a SentencePiece model, `tokenizer.model`.
 * @throws ConfigError when it is none, is damaged, contradicts itself, or is of the kinds `word` or `char`
 */
export function readSentencePieceModel(file: Uint8Array): SentencePieceModel {
  try {
    return requireConsistent(readModel(file));
  } catch (cause) {
    throw new ConfigError(`SentencePiece model: ${(cause as Error).message}.`, { cause });
  }
}

function readModel(file: Uint8Array): SentencePieceModel {
  const pieces: Piece[] = [];
  let trainer = new Uint8Array(0);
  let normalizer = new Uint8Array(0);
  for (const { number, value } of fieldsOf(file)) {
    if (number === 1) pieces.push(readPiece(bytesOf(value, "a piece"), pieces.length));
    else if (number === 2) trainer = bytesOf(value, "trainer_spec");
    else if (number === 3) normalizer = bytesOf(value, "normalizer_spec");
    if (pieces.length > MOST_PIECES) throw new Error(`it has more than ${MOST_PIECES} pieces`);
  }
  return { pieces, ...readTrainer(trainer), normalizer: readNormalizer(normalizer) };
}

function readPiece(message: Uint8Array, id: number): Piece {
  let text = "";
  let score = 0;
  let kind: PieceKind | undefined = "normal";
  for (const { number, value } of fieldsOf(message)) {
    if (number === 1) text = textOf(bytesOf(value, `piece ${id}`), id);
    else if (number === 2) score = floatOf(bytesOf(value, `the score of piece ${id}`), id);
    else if (number === 3) kind = pieceKinds[numberOf(value, `the type of piece ${id}`)];
  }
  if (text === "") throw new Error(`piece ${id} is empty`);
  if (kind === undefined) throw new Error(`piece ${id}, ${JSON.stringify(text)}, is of a type that does not exist`);
  return { text, score, kind };
}

function readTrainer(message: Uint8Array): Pick<SentencePieceModel, "kind" | "byteFallback" | "whitespaceAsSuffix"> {
  let model = 1;
  let whitespaceAsSuffix = false;
  let byteFallback = false;
  for (const { number, value } of fieldsOf(message)) {
    if (number === 3) model = numberOf(value, "model_type");
    else if (number === 24) whitespaceAsSuffix = numberOf(value, "treat_whitespace_as_suffix") !== 0;
    else if (number === 35) byteFallback = numberOf(value, "byte_fallback") !== 0;
  }
  const kind = modelKinds[model];
  if (kind !== "unigram" && kind !== "bpe") {
    throw new Error(`its model_type is ${kind ?? model}; only unigram and bpe can be used`);
  }
  return { kind, byteFallback, whitespaceAsSuffix };
}

function readNormalizer(message: Uint8Array): NormalizerSpec {
  let charsMap = new Uint8Array(0);
  const flags: Record<number, boolean> = { 3: true, 4: true, 5: true };
  for (const { number, value } of fieldsOf(message)) {
    if (number === 2) charsMap = bytesOf(value, "precompiled_charsmap");
    else if (number in flags) flags[number] = numberOf(value, `field ${number} of normalizer_spec`) !== 0;
  }
  return {
    charsMap,
    addDummyPrefix: flags[3]!,
    removeExtraWhitespaces: flags[4]!,
    escapeWhitespaces: flags[5]!,
  };
}

/** Whether pieces of a kind are made of a text's characters. */
export function isWritten(kind: PieceKind): boolean {
  return kind === "normal" || kind === "userDefined" || kind === "unused";
}

/** The rules that SentencePiece itself checks when it loads a model. */
export function requireConsistent(model: SentencePieceModel): SentencePieceModel {
  const seen = { written: new Set<string>(), reserved: new Set<string>() };
  for (const { text, kind } of model.pieces) {
    const alike = isWritten(kind) ? seen.written : seen.reserved;
    if (alike.has(text)) throw new Error(`the piece ${JSON.stringify(text)} is there twice`);
    alike.add(text);
  }
  const count = (kind: PieceKind) => model.pieces.filter((piece) => piece.kind === kind).length;
  if (count("unknown") !== 1) throw new Error(`it has ${count("unknown")} unknown pieces, not 1`);
  const bytes = model.pieces.filter(({ kind, text }) => kind === "byte" && /^<0x[0-9A-F]{2}>$/.test(text)).length;
  const expected = model.byteFallback ? 256 : 0;
  if (bytes !== expected || count("byte") !== expected) {
    throw new Error(
      `byte_fallback is ${model.byteFallback}, but it has ${count("byte")} byte pieces, of which ${bytes} are bytes`,
    );
  }
  return model;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array, id: number): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Error(`piece ${id} is no UTF-8`);
  }
}

function bytesOf(value: number | Uint8Array, what: string): Uint8Array<ArrayBuffer> {
  if (typeof value === "number") throw new Error(`${what} is a number`);
  return value as Uint8Array<ArrayBuffer>;
}

function numberOf(value: number | Uint8Array, what: string): number {
  if (typeof value !== "number") throw new Error(`${what} is no number`);
  return value;
}

function floatOf(bytes: Uint8Array, id: number): number {
  if (bytes.length !== 4) throw new Error(`the score of piece ${id} is no float32`);
  const score = new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);
  if (!Number.isFinite(score)) throw new Error(`the score of piece ${id} is ${score}`);
  return score;
}
