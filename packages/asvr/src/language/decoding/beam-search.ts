import { type Tensor, tensor } from "@asvr/torch";

export interface BeamOptions {
  readonly numBeams: number;
  /** A finished answer's score is divided by its length to this power; default 1. Higher values favour long answers. */
  readonly lengthPenalty?: number;
  /** End as soon as there are `numBeams` finished answers; default: when none of the open ones can become better. */
  readonly earlyStopping?: boolean;
}

/** A beam of the next step: which one of this step's it continues, and with which token. */
export interface BeamStep {
  readonly parent: number;
  readonly token: number;
}

interface Beam {
  readonly ids: readonly number[];
  readonly score: number;
}

/**
 * Beam search by the rules of Hugging Face's library: of twice as many candidates as beams (more with several stop
 * tokens) those that end are set aside when they are among the first `numBeams`, the others go on.
 */
export class BeamSearch {
  readonly #options: BeamOptions & { readonly stopIds: readonly number[]; readonly maxNewTokens: number };
  #running: readonly Beam[] = [{ ids: [], score: 0 }];
  #finished: readonly Beam[] = [];
  #isDone = false;

  constructor(options: BeamOptions & { stopIds: readonly number[]; maxNewTokens: number }) {
    this.#options = options;
  }

  /** The best answer so far, its stop token included; empty before one is finished. */
  get best(): readonly number[] {
    return this.#finished[0]?.ids ?? [];
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /**
   * @param logits float32 (beams, vocabSize): of one beam at first, then of those that the last call named
   * @returns the beams to run next; empty when the search is done
   */
  advance(logits: Tensor): BeamStep[] {
    const { numBeams, stopIds, maxNewTokens } = this.#options;
    const vocabulary = logits.size(1);
    const scores = tensor(Float32Array.from(this.#running, ({ score }) => score)).to({ device: logits.device });
    const all = logits.logSoftmax(-1).add(scores.unsqueeze(-1)).flatten();
    const count = Math.min(Math.max(2, 1 + stopIds.length) * numBeams, all.size(0));
    const [values, indices] = all.topk(count) as [Tensor, Tensor];
    const flat = indices.toNumbers();
    const candidates = values.toNumbers().map((score, rank) => {
      const [parent, token] = [Math.floor(flat[rank]! / vocabulary), flat[rank]! % vocabulary];
      const ids = [...this.#running[parent]!.ids, token];
      return { parent, token, ids, score, ends: stopIds.includes(token) || ids.length >= maxNewTokens };
    });
    this.#setAside(candidates.slice(0, numBeams).filter(({ ends }) => ends));
    const next = candidates.filter(({ ends }) => !ends).slice(0, numBeams);
    this.#running = next;
    this.#isDone = next.length === 0 || !this.#canImprove(next[0]!);
    return this.#isDone ? [] : next.map(({ parent, token }) => ({ parent, token }));
  }

  #setAside(ended: readonly Beam[]): void {
    const { numBeams, lengthPenalty = 1 } = this.#options;
    const scored = ended.map(({ ids, score }) => ({ ids, score: score / ids.length ** lengthPenalty }));
    this.#finished = [...this.#finished, ...scored].sort((a, b) => b.score - a.score).slice(0, numBeams);
  }

  /** Whether the best open beam could still come before a finished one, were it to end now. */
  #canImprove({ ids, score }: Beam): boolean {
    const { numBeams, lengthPenalty = 1, earlyStopping = false } = this.#options;
    if (this.#finished.length < numBeams) return true;
    return !earlyStopping && score / ids.length ** lengthPenalty > this.#finished.at(-1)!.score;
  }
}
