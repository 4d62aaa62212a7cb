import { ConfigError } from "../../errors.js";
import type { NormalizerSpec } from "./model-proto.js";
import type { PrefixMatcher } from "./prefix-matcher.js";

/** Stands for a space inside pieces. */
export const SPACE_SYMBOL = "▁";

/** SentencePiece's normalisation: rules of replacement, runs of spaces, the dummy space, spaces made visible. */
export class Normalizer {
  readonly #spec: NormalizerSpec;
  readonly #rules: CharsMap | undefined;
  readonly #symbols: PrefixMatcher;
  readonly #whitespaceAsSuffix: boolean;

  /** @throws ConfigError when the rules are damaged */
  constructor(spec: NormalizerSpec, symbols: PrefixMatcher, whitespaceAsSuffix: boolean) {
    this.#spec = spec;
    this.#rules = spec.charsMap.length === 0 ? undefined : new CharsMap(spec.charsMap);
    this.#symbols = symbols;
    this.#whitespaceAsSuffix = whitespaceAsSuffix;
  }

  /** The text that is cut into pieces. `dummySpace: false` leaves out the dummy space that the model asks for. */
  normalize(text: string, { dummySpace = true } = {}): string {
    const { addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces } = this.#spec;
    const dummy = addDummyPrefix && dummySpace ? " " : "";
    let normalized = this.#whitespaceAsSuffix ? "" : dummy;
    let isBlank = true;
    let afterSpace = removeExtraWhitespaces; // spaces at the beginning are extra
    for (const part of this.#parts(Buffer.from(text).toString())) {
      isBlank &&= part === " ";
      const kept = afterSpace ? part.replace(/^ +/, "") : part;
      if (kept === "") continue;
      normalized += kept;
      afterSpace = removeExtraWhitespaces && kept.endsWith(" ");
    }
    if (text === "" || (removeExtraWhitespaces && isBlank)) return "";
    if (removeExtraWhitespaces) normalized = withoutEnd(normalized, escapeWhitespaces ? ` ${SPACE_SYMBOL}` : " ");
    if (this.#whitespaceAsSuffix) normalized += dummy;
    return escapeWhitespaces ? normalized.replaceAll(" ", SPACE_SYMBOL) : normalized;
  }

  /** The text part by part: a user-defined symbol as it is, what a rule gives, or a character. */
  *#parts(text: string): Generator<string> {
    const bytes = this.#rules ? Buffer.from(text) : undefined;
    let byteAt = 0;
    for (let at = 0; at < text.length; ) {
      const symbol = this.#symbols.longestAt(text, at);
      const replaced = symbol === 0 && bytes ? this.#rules!.longestAt(bytes, byteAt) : undefined;
      if (replaced && bytes) {
        const source = bytes.toString("utf8", byteAt, byteAt + replaced.length);
        at += source.length;
        byteAt += replaced.length;
        yield replaced.text;
        continue;
      }
      const end = at + (symbol || characterLength(text, at));
      const part = text.slice(at, end);
      if (bytes) byteAt += Buffer.byteLength(part);
      at = end;
      yield part;
    }
  }
}

function withoutEnd(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}

function characterLength(text: string, at: number): number {
  return text.codePointAt(at)! > 0xffff ? 2 : 1;
}

/** As many rules that are beginnings of each other as SentencePiece looks at. */
const MOST_RULES = 32;

/** Bytes that a rule may give; those of Unicode's forms give 54 at most. */
const MOST_BYTES = 256;

/** Rules of replacement as SentencePiece compiles them: a double-array trie (Darts), then what is put in place. */
class CharsMap {
  readonly #units: Uint32Array;
  readonly #texts: Buffer;

  constructor(charsMap: Uint8Array) {
    const blob = Buffer.from(charsMap); // a copy, so that its words are aligned
    const size = blob.length < 4 ? Number.NaN : blob.readUInt32LE(0);
    if (!(size > 0 && size % 4 === 0 && size < blob.length - 4) || blob.at(-1) !== 0) {
      throw new ConfigError(
        `SentencePiece model: its precompiled_charsmap of ${blob.length} bytes holds no trie of ${size} bytes with texts after it.`,
      );
    }
    this.#units = Uint32Array.from({ length: size / 4 }, (_, unit) => blob.readUInt32LE(4 + unit * 4));
    this.#texts = blob.subarray(4 + size);
  }

  /** What the longest rule that holds at `start` replaces (in bytes) and gives. @throws ConfigError when it is damaged */
  longestAt(bytes: Uint8Array, start: number): { length: number; text: string } | undefined {
    let length = 0;
    let value = 0;
    let found = 0;
    let node = offsetOf(this.#unit(0));
    for (let at = start; at < bytes.length && found < MOST_RULES; at++) {
      node ^= bytes[at]!;
      const unit = node < this.#units.length ? this.#unit(node) : 0;
      if (labelOf(unit) !== bytes[at] || node >= this.#units.length) break;
      node ^= offsetOf(unit);
      if (!hasLeaf(unit)) continue;
      value = this.#unit(node) & 0x7fffffff;
      length = at + 1 - start;
      found += 1;
    }
    return length === 0 ? undefined : { length, text: this.#textAt(value) };
  }

  #unit(index: number): number {
    const unit = this.#units[index];
    if (unit === undefined)
      throw new ConfigError(`SentencePiece model: its charsmap points outside itself (${index}).`);
    return unit;
  }

  #textAt(start: number): string {
    if (start >= this.#texts.length) {
      throw new ConfigError(`SentencePiece model: its charsmap points outside its texts (${start}).`);
    }
    const length = this.#texts.subarray(start, start + MOST_BYTES + 1).indexOf(0);
    if (length < 0) {
      throw new ConfigError(`SentencePiece model: a rule of its charsmap gives more than ${MOST_BYTES} bytes.`);
    }
    return this.#texts.toString("utf8", start, start + length);
  }
}

/** The parts of a unit of the trie: bits 0 to 7 label, 8 leaf, 9 scale of the offset, from 10 on the offset. */
const labelOf = (unit: number) => (unit & 0x800000ff) >>> 0;
const hasLeaf = (unit: number) => ((unit >>> 8) & 1) === 1;
const offsetOf = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
