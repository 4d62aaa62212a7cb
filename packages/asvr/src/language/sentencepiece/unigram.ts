import type { Segmenter } from "./processor.js";

/** What an unknown character costs more than the worst piece. */
const UNKNOWN_PENALTY = 10;

/** The best way to a place in the text. */
interface Step {
  readonly score: number;
  readonly start: number;
  readonly id: number | undefined;
}

/**
 * SentencePiece's unigram model: the pieces whose scores (logarithms of probabilities) add up to most. Sums are kept in
 * float32, as SentencePiece does, since rounding decides between ways of nearly equal probability.
 */
export const segmentUnigram: Segmenter = ({ pieces, matcher, idOf, scores }, text) => {
  const unknownScore = Math.fround(scores.lowest - UNKNOWN_PENALTY);
  const best: (Step | undefined)[] = new Array(text.length + 1);
  best[0] = { score: 0, start: 0, id: undefined };
  for (let start = 0; start < text.length; ) {
    const length = text.codePointAt(start)! > 0xffff ? 2 : 1;
    const soFar = best[start]!.score;
    const offer = (end: number, candidate: number, id: number | undefined) => {
      const score = Math.fround(candidate);
      const current = best[end];
      if (current === undefined || score > current.score) best[end] = { score, start, id };
    };
    let hasCharacter = false;
    for (const width of matcher.allAt(text, start)) {
      const piece = text.slice(start, start + width);
      const id = idOf.get(piece)!;
      const { kind, score } = pieces[id]!;
      if (kind === "unused") continue;
      // A user-defined symbol gets so much that it is always taken.
      const own = kind === "userDefined" ? Math.fround(Buffer.byteLength(piece) * scores.highest) - 0.1 : score;
      offer(start + width, own + soFar, id);
      if (width === length) hasCharacter = true;
    }
    if (!hasCharacter) offer(start + length, unknownScore + soFar, undefined);
    start += length;
  }
  const found: { text: string; id: number | undefined }[] = [];
  for (let end = text.length; end > 0; ) {
    const { start, id } = best[end]!;
    found.push({ text: text.slice(start, end), id });
    end = start;
  }
  return found.reverse();
};
