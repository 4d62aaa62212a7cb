import type { Segmenter } from "./processor.js";

/** A stretch of the text; an empty one has been merged into the one before. */
interface Symbol {
  text: string;
  before: number;
  after: number;
  readonly isFrozen: boolean;
}

interface Pair {
  readonly left: number;
  readonly right: number;
  readonly score: number;
  readonly text: string;
}

/**
 * SentencePiece's byte-pair encoding: of all neighbours that together are a piece, those with the highest score are
 * joined first, of equal ones the leftmost. Pieces that are not used any more are taken apart again.
 */
export const segmentBpe: Segmenter = ({ pieces, idOf, symbolAt }, text) => {
  const symbols: Symbol[] = [];
  for (let at = 0; at < text.length; ) {
    const frozen = symbolAt(text, at);
    const end = at + (frozen || (text.codePointAt(at)! > 0xffff ? 2 : 1));
    const index = symbols.length;
    symbols.push({ text: text.slice(at, end), before: index - 1, after: index + 1, isFrozen: frozen > 0 });
    at = end;
  }
  if (symbols.length > 0) symbols.at(-1)!.after = -1;

  const queue = new PairQueue();
  const madeOf = new Map<string, readonly [left: string, right: string]>();
  const offer = (left: number, right: number) => {
    const [a, b] = [symbols[left], symbols[right]];
    if (!a || !b || a.isFrozen || b.isFrozen) return;
    const joined = a.text + b.text;
    const id = idOf.get(joined);
    if (id === undefined) return;
    queue.push({ left, right, score: pieces[id]!.score, text: joined });
    if (pieces[id]!.kind === "unused") madeOf.set(joined, [a.text, b.text]);
  };
  for (let right = 1; right < symbols.length; right++) offer(right - 1, right);
  for (let pair = queue.pop(); pair; pair = queue.pop()) {
    const left = symbols[pair.left]!;
    const right = symbols[pair.right]!;
    if (left.text === "" || right.text === "" || left.text.length + right.text.length !== pair.text.length) continue;
    left.text = pair.text;
    left.after = right.after;
    if (right.after >= 0) symbols[right.after]!.before = pair.left;
    right.text = "";
    offer(left.before, pair.left);
    offer(pair.left, left.after);
  }

  const found: string[] = [];
  for (const { text: symbol } of symbols) {
    if (symbol !== "") takeApart(symbol, madeOf, found);
  }
  return found.map((piece) => ({ text: piece, id: idOf.get(piece) }));
};

function takeApart(
  symbol: string,
  madeOf: ReadonlyMap<string, readonly [left: string, right: string]>,
  found: string[],
): void {
  const waiting = [symbol];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const parts = madeOf.get(next);
    if (parts) waiting.push(parts[1], parts[0]);
    else found.push(next);
  }
}

/** A binary heap, best pair first. */
class PairQueue {
  readonly #heap: Pair[] = [];

  push(pair: Pair): void {
    const heap = this.#heap;
    let at = heap.push(pair) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBetter(pair, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = pair;
  }

  pop(): Pair | undefined {
    const heap = this.#heap;
    const best = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return best;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBetter(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBetter(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return best;
  }
}

function isBetter(a: Pair, b: Pair): boolean {
  return a.score > b.score || (a.score === b.score && a.left < b.left);
}
