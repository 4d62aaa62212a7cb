import { segmentBpe } from "./bpe.js";
import { isWritten, type Piece, type SentencePieceModel } from "./model-proto.js";
import { Normalizer } from "./normalizer.js";
import { PrefixMatcher } from "./prefix-matcher.js";
import { segmentUnigram } from "./unigram.js";

/** A stretch of the normalised text and its piece; none where the vocabulary has none. */
export interface Segment {
  readonly text: string;
  readonly id: number | undefined;
}

/** What the ways of cutting a text into pieces need to know. */
export interface Vocabulary {
  readonly pieces: readonly Piece[];
  /** The ids of the pieces that text is made of. */
  readonly idOf: ReadonlyMap<string, number>;
  readonly matcher: PrefixMatcher;
  /** The length of the user-defined symbol at a place, which is never taken apart; 0 for none. */
  symbolAt(text: string, at: number): number;
  /** Of the normal pieces. */
  readonly scores: { readonly lowest: number; readonly highest: number };
}

/** Cuts a normalised text. */
export type Segmenter = (vocabulary: Vocabulary, text: string) => Segment[];

const segmenters = { bpe: segmentBpe, unigram: segmentUnigram } as const;

/** A SentencePiece model at work: text to pieces, as the original does. */
export class SentencePieceProcessor {
  readonly unknownId: number;
  /** Every piece and its id, control pieces and bytes, too. */
  readonly ids: ReadonlyMap<string, number>;

  readonly #normalizer: Normalizer;
  readonly #vocabulary: Vocabulary;
  readonly #segment: Segmenter;

  constructor(readonly model: SentencePieceModel) {
    const { pieces, kind, normalizer, whitespaceAsSuffix } = model;
    const written = [...pieces.entries()].filter(([, piece]) => isWritten(piece.kind));
    const reserved = [...pieces.entries()].filter(([, piece]) => !isWritten(piece.kind));
    const idOf = new Map(written.map(([id, { text }]) => [text, id]));
    this.ids = new Map([...idOf, ...reserved.map(([id, { text }]) => [text, id] as const)]);
    this.unknownId = pieces.findIndex((piece) => piece.kind === "unknown");
    const symbols = new PrefixMatcher(pieces.filter((piece) => piece.kind === "userDefined").map(({ text }) => text));
    this.#normalizer = new Normalizer(normalizer, symbols, whitespaceAsSuffix);
    this.#segment = segmenters[kind];
    this.#vocabulary = {
      pieces,
      idOf,
      matcher: new PrefixMatcher(idOf.keys()),
      symbolAt: (text, at) => symbols.longestAt(text, at),
      scores: rangeOf(pieces),
    };
  }

  /** The ids of a text. `dummySpace: false` leaves out the dummy space that the model asks for. */
  encode(text: string, options: { dummySpace?: boolean } = {}): number[] {
    const ids: number[] = [];
    let afterUnknown = false;
    for (const segment of this.#segment(this.#vocabulary, this.#normalizer.normalize(text, options))) {
      const id = this.ids.get(segment.text) ?? segment.id ?? this.unknownId;
      const isUnknown = id === this.unknownId;
      if (isUnknown && this.model.byteFallback) {
        for (const byte of Buffer.from(segment.text)) ids.push(this.ids.get(byteToken(byte))!);
      } else if (!(isUnknown && afterUnknown)) {
        ids.push(id); // neighbours without a piece are one unknown
      }
      afterUnknown = isUnknown;
    }
    return ids;
  }
}

function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

function rangeOf(pieces: readonly Piece[]): Vocabulary["scores"] {
  let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { kind, score } of pieces) {
    if (kind !== "normal") continue;
    lowest = Math.min(lowest, score);
    highest = Math.max(highest, score);
  }
  return { lowest, highest };
}
