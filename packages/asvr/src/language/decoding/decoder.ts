import { F, keep, noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../../errors.js";
import { headDimOf, type LlamaForCausalLM } from "../llama.js";
import { type BeamOptions, BeamSearch, type BeamStep } from "./beam-search.js";
import { likeliestOf, nonFiniteLogits } from "./finite-logits.js";
import { PackedSequences } from "./packed-sequences.js";
import { RotaryTable } from "./rotary-table.js";
import { checkSampling, drawToken, type SamplingOptions } from "./sampling.js";
import { type CacheShape, SequenceCache } from "./sequence-cache.js";

export interface DecodingOptions extends SamplingOptions {
  /** An answer that has not ended by then is cut. */
  readonly maxNewTokens: number;
  /** Tokens that end an answer, and are no part of it. */
  readonly stopIds?: readonly number[];
  /** Search with several beams instead of drawing tokens; the answer comes as a whole at its end. */
  readonly beams?: BeamOptions;
  /** Tell the logarithm of each token's probability. */
  readonly logProbs?: boolean;
}

/** Why an answer ended: by itself, by length, or since its owner wanted no more. */
export type EndReason = "stop" | "length" | "cancelled";

/** What happens to a request, told while `step` runs. */
export interface DecodingListener {
  /** A token of the answer. false: that is enough, the answer ends with it, as "stop". */
  token(id: number, logProb: number | undefined): boolean;
  ended(reason: EndReason): void;
  /** The request came to logits that are no numbers; it has ended. Default: `step` throws that, and the others wait. */
  failed?(error: Error): void;
  /** Takes over the keys and values of an answer that ended, those of its last token left out. Default: they are freed. */
  retire?(cache: SequenceCache): void;
}

/** A request that a decoder works on. */
export interface Decoding {
  /** No more tokens; its memory is free at once. */
  cancel(): void;
  /** Tokens whose keys and values are there: of the prompt's beginning at first, of the answer too later on. */
  readonly cached: number;
  /** A copy of the cache of the first tokens, to begin another request with; the caller frees it. A search has none. */
  fork(tokens: number): SequenceCache;
}

export interface DecoderOptions {
  /** Sequences that run side by side; others wait. A search counts once for each beam. Default 64. */
  readonly maxRunning?: number;
  /** Tokens of prompts that one step reads at most: how long running answers wait for a new one. Default 2048. */
  readonly maxPromptTokens?: number;
}

/** One sequence of tokens: the keys and values of what was read, and what is to be read next. */
interface Sequence {
  readonly cache: SequenceCache;
  /** Chosen, not read yet. */
  next: number;
}

interface Request extends Decoding {
  readonly options: DecodingOptions;
  readonly listener: DecodingListener;
  readonly search: BeamSearch | null;
  /** What is not read of it yet, (1, tokens, hiddenSize). */
  prompt: Tensor | null;
  sequences: Sequence[];
  answered: number;
  hasEnded: boolean;
}

/** What one request has in a step: its tokens, and whether their logits are wanted. */
interface Work {
  readonly request: Request;
  readonly embeddings: Tensor;
  readonly parts: readonly { readonly cache: SequenceCache; readonly count: number }[];
  readonly isAsked: boolean;
}

/**
 * Decodes many requests at once, each a prompt of its own length: a step gives every running one its next token. New
 * ones join and finished ones leave between steps. Single-threaded: whoever owns it calls `step` until nothing is left.
 */
export class Decoder implements Disposable {
  readonly #language: LlamaForCausalLM;
  readonly #maxRunning: number;
  readonly #maxPromptTokens: number;
  readonly #table: RotaryTable;
  readonly #cacheShape: CacheShape;
  readonly #waiting: Request[] = [];
  readonly #running: Request[] = [];

  constructor(language: LlamaForCausalLM, { maxRunning = 64, maxPromptTokens = 2048 }: DecoderOptions = {}) {
    const { weight } = language.model.embedTokens;
    const { config } = language;
    const place = { dtype: weight.dtype, device: weight.device };
    this.#language = language;
    this.#maxRunning = maxRunning;
    this.#maxPromptTokens = maxPromptTokens;
    this.#table = new RotaryTable(config, place);
    const { numHiddenLayers: layers, numKeyValueHeads: kvHeads } = config;
    this.#cacheShape = { layers, kvHeads, headDim: headDimOf(config), ...place };
  }

  /** Requests that are not at their end. */
  get pending(): number {
    return this.#waiting.length + this.#running.length;
  }

  /** Of these, how many wait for their first step. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws ConfigError for options that say nothing */
  check(options: DecodingOptions): void {
    checkOptions(options, this.#maxRunning);
  }

  /**
   * @param prompt (1, tokens, hiddenSize), at least one token; copied
   * @param prefix keys and values of tokens before the prompt, which become the decoder's
   * @throws ConfigError for options that say nothing
   */
  add(prompt: Tensor, options: DecodingOptions, listener: DecodingListener, prefix?: SequenceCache): Decoding {
    this.check(options);
    const { maxNewTokens, stopIds = [], beams } = options;
    const sequences: Sequence[] = [{ cache: prefix ?? new SequenceCache(this.#cacheShape), next: -1 }];
    const request: Request = {
      options,
      listener,
      search: beams && beams.numBeams > 1 ? new BeamSearch({ ...beams, stopIds, maxNewTokens }) : null,
      prompt: keep(noGrad(() => prompt.clone())),
      sequences,
      answered: 0,
      hasEnded: false,
      cancel: () => {
        this.#end(request, "cancelled");
      },
      get cached() {
        return this.search || this.hasEnded ? 0 : sequences[0]!.cache.length;
      },
      fork: (tokens) => sequences[0]!.cache.fork(tokens),
    };
    this.#waiting.push(request);
    return request;
  }

  /**
   * Keys and values of a prompt's beginning, for requests that share it: a fork of them each. The caller frees it.
   * @param prompt (1, tokens, hiddenSize)
   */
  prefill(prompt: Tensor): SequenceCache {
    const cache = new SequenceCache(this.#cacheShape);
    const tokens = prompt.size(1);
    try {
      for (let at = 0; at < tokens; at += this.#maxPromptTokens) {
        const count = Math.min(this.#maxPromptTokens, tokens - at);
        noGrad(() => tidy(() => void this.#forward(prompt.narrow(1, at, count), [{ cache, count }], [count - 1])));
      }
      return cache;
    } catch (error) {
      cache[Symbol.dispose]();
      throw error;
    }
  }

  /** The next token of every running request. Returns whether there is more to do. */
  step(): boolean {
    this.#admit();
    if (this.#running.length > 0) noGrad(() => tidy(() => this.#advance()));
    return this.pending > 0;
  }

  /** Ends all requests as cancelled. */
  cancelAll(): void {
    for (const request of [...this.#waiting, ...this.#running]) request.cancel();
  }

  [Symbol.dispose](): void {
    this.cancelAll();
    this.#table[Symbol.dispose]();
  }

  #admit(): void {
    let rows = this.#running.reduce((sum, request) => sum + rowsOf(request), 0);
    while (this.#waiting.length > 0 && rows + rowsOf(this.#waiting[0]!) <= this.#maxRunning) {
      const request = this.#waiting.shift()!;
      rows += rowsOf(request);
      this.#running.push(request);
    }
  }

  #advance(): void {
    const work = this.#plan();
    const parts = work.flatMap((item) => item.parts);
    const embeddings =
      work.length === 1
        ? work[0]!.embeddings
        : F.cat(
            work.map((item) => item.embeddings),
            1,
          );
    const ends = lastColumns(parts);
    const states = this.#forward(embeddings, parts, ends).squeeze(0); // (parts, hiddenSize)
    let row = 0;
    const asked: { request: Request; rows: number[] }[] = [];
    for (const { request, parts: own, isAsked } of work) {
      if (isAsked) asked.push({ request, rows: own.map((_, index) => row + index) });
      row += own.length;
    }
    const rows = asked.flatMap((item) => item.rows);
    if (rows.length === 0) return;
    const read = rows.length === row ? states : states.indexSelect(0, indices(rows, states.device));
    const logits = this.#language.logits(read).to("float32"); // (rows, vocabSize)
    this.#choose(
      asked.map(({ request }) => request),
      logits,
    );
  }

  /** The tokens of this step: of each running sequence its next one, of prompts as many as one step reads. */
  #plan(): Work[] {
    let left = this.#maxPromptTokens;
    const work: Work[] = [];
    const decoding = this.#running.filter(({ prompt }) => !prompt);
    const ids = decoding.flatMap(({ sequences }) => sequences.map(({ next }) => next));
    // Embedded in one call, and cut by request.
    const embedded = ids.length > 0 ? this.#language.embed(indices(ids, this.#cacheShape.device)).unsqueeze(0) : null;
    let at = 0;
    for (const request of decoding) {
      const count = request.sequences.length;
      const embeddings = count === ids.length ? embedded! : embedded!.narrow(1, at, count);
      at += count;
      work.push({
        request,
        embeddings,
        parts: request.sequences.map(({ cache }) => ({ cache, count: 1 })),
        isAsked: true,
      });
    }
    for (const request of this.#running) {
      const { prompt } = request;
      if (!prompt || left === 0) continue;
      const [tokens, count] = [prompt.size(1), Math.min(left, prompt.size(1))];
      left -= count;
      const { cache } = request.sequences[0]!;
      work.push({
        request,
        embeddings: prompt.narrow(1, 0, count),
        parts: [{ cache, count }],
        isAsked: count === tokens,
      });
      request.prompt = count === tokens ? null : keep(prompt.narrow(1, count, tokens - count));
      prompt.dispose();
    }
    return work;
  }

  /** The last hidden states of the columns that `read` names, (1, columns, hiddenSize); the caches have all tokens. */
  #forward(embeddings: Tensor, parts: readonly { cache: SequenceCache; count: number }[], read: number[]): Tensor {
    for (const { cache, count } of parts) cache.reserve(count);
    const angles = this.#table.at(parts.map(({ cache, count }) => ({ start: cache.length, count })));
    const sequences = new PackedSequences(angles, parts, this.#language.config.slidingWindows);
    const isAll = read.length === embeddings.size(1);
    const readout = isAll ? undefined : indices(read, embeddings.device).to("int64").unsqueeze(0);
    const states = this.#language.model.forward(embeddings, { sequences, ...(readout && { readout }) });
    for (const { cache, count } of parts) cache.advance(count);
    return states;
  }

  /** @param logits float32 (rows, vocabSize): of the requests' sequences, in order */
  #choose(requests: readonly Request[], logits: Tensor): void {
    const { ids, areNumbers } = likeliestOf(logits);
    const logProbs = requests.some(({ options }) => options.logProbs) ? logits.logSoftmax(-1) : null;
    let row = 0;
    for (const request of requests) {
      const { options, search, sequences } = request;
      const own = row;
      row += sequences.length;
      if (request.hasEnded) continue; // by another one's listener
      if (!areNumbers.slice(own, row).every(Boolean)) {
        this.#fail(request);
        continue;
      }
      if (search) {
        this.#advanceSearch(request, search, logits.narrow(0, own, sequences.length));
        continue;
      }
      const id =
        (options.temperature ?? 0) === 0 ? ids[own]! : drawToken(logits.select(0, own), options, request.answered);
      sequences[0]!.next = id;
      const logProb = options.logProbs ? logProbs!.select(0, own).select(0, id).item() : undefined;
      this.#answer(request, id, logProb);
    }
  }

  #answer(request: Request, id: number, logProb: number | undefined): void {
    const { options, listener } = request;
    const isStop = options.stopIds?.includes(id) ?? false;
    if (!isStop) request.answered++;
    if (isStop || !listener.token(id, logProb)) this.#end(request, "stop");
    else if (request.answered >= options.maxNewTokens) this.#end(request, "length");
  }

  #advanceSearch(request: Request, search: BeamSearch, logits: Tensor): void {
    const beams = search.advance(logits);
    if (search.isDone) this.#tellBest(request, search);
    else this.#branch(request, beams);
  }

  #tellBest(request: Request, search: BeamSearch): void {
    const isStopped = request.options.stopIds?.includes(search.best.at(-1)!) ?? false;
    const ids = isStopped ? search.best.slice(0, -1) : search.best;
    const isWhole = ids.every((id) => request.listener.token(id, undefined));
    this.#end(request, isStopped || !isWhole ? "stop" : "length");
  }

  #branch(request: Request, beams: readonly BeamStep[]): void {
    // The first child of a beam takes its memory over, the others a copy.
    const before = request.sequences;
    const taken = new Set<number>();
    request.sequences = beams.map(({ parent, token }) => {
      const { cache } = before[parent]!;
      const own = taken.has(parent) ? cache.fork() : cache;
      taken.add(parent);
      return { cache: own, next: token };
    });
    for (const [index, { cache }] of before.entries()) if (!taken.has(index)) cache[Symbol.dispose]();
  }

  #fail(request: Request): void {
    const layers = request.sequences.flatMap(({ cache }) => cache.firstNonFinite ?? []);
    const cause =
      layers.length > 0
        ? `what its layer ${Math.min(...layers)} reads is no number already, though all weights are`
        : undefined;
    const error = nonFiniteLogits(this.#language, cause);
    this.#remove(request);
    for (const { cache } of request.sequences) cache[Symbol.dispose](); // nobody goes on from it
    if (!request.listener.failed) throw error;
    request.listener.failed(error);
  }

  #remove(request: Request): void {
    request.hasEnded = true;
    for (const list of [this.#running, this.#waiting])
      if (list.includes(request)) list.splice(list.indexOf(request), 1);
    request.prompt?.dispose();
    request.prompt = null;
  }

  #end(request: Request, reason: EndReason): void {
    if (request.hasEnded) return;
    this.#remove(request);
    const { listener, search, sequences } = request;
    if (listener.retire && !search) listener.retire(sequences[0]!.cache);
    else for (const { cache } of sequences) cache[Symbol.dispose]();
    listener.ended(reason);
  }
}

function rowsOf({ options }: Request): number {
  return options.beams?.numBeams ?? 1;
}

function lastColumns(parts: readonly { count: number }[]): number[] {
  let end = 0;
  return parts.map(({ count }) => {
    end += count;
    return end - 1;
  });
}

function indices(values: readonly number[], device: string): Tensor {
  return tensor(Int32Array.from(values), { device });
}

function checkOptions(options: DecodingOptions, maxRunning: number): void {
  checkSampling(options);
  const { maxNewTokens, beams } = options;
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    throw new ConfigError(`maxNewTokens is ${maxNewTokens}; it must be a whole number, 1 or more`);
  }
  if (!beams) return;
  if (!Number.isInteger(beams.numBeams) || beams.numBeams < 1 || beams.numBeams > maxRunning) {
    throw new ConfigError(`numBeams is ${beams.numBeams}; it must be a whole number from 1 to ${maxRunning}`);
  }
  if (options.temperature) throw new ConfigError("beams with a temperature: a search draws nothing. Give one of them.");
}
