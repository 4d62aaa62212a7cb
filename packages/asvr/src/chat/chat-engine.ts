import { noGrad, type Tensor } from "@asvr/torch";
import { DataError } from "../errors.js";
import { AnswerText } from "../language/decoding/answer-text.js";
import { Decoder, type DecoderOptions, type Decoding, type DecodingOptions } from "../language/decoding/decoder.js";
import type { SamplingOptions } from "../language/decoding/sampling.js";
import type { SequenceCache } from "../language/decoding/sequence-cache.js";
import { type ChatMessage, type ChatModel, type ChatPrompt, embedPrompt } from "./chat-model.js";
import { type AnswerEvent, type AskOptions, BusyError, type ChatService } from "./chat-service.js";
import { EventQueue } from "./event-queue.js";
import { PictureFeatures } from "./picture-features.js";
import { commonLength, PrefixStore, type Reading } from "./prefix-store.js";

export interface ChatEngineOptions extends DecoderOptions {
  /** Requests that wait for a place; one more is refused. Default 256. */
  readonly maxWaiting?: number;
  /** Bytes of pictures' features that are kept for the next question. Default 256 MiB. */
  readonly featureBytes?: number;
  /** Bytes of keys and values of ended answers that are kept for the next turn. Default 512 MiB. */
  readonly prefixBytes?: number;
}

const LONGEST = 1024; // tokens of an answer whose asker gives no number
const MIN_SHARED = 16; // tokens; copying fewer is no gain
const ADMISSION_MS = 50; // of pictures and embeddings between two steps of those that run

interface Request {
  readonly prompt: ChatPrompt;
  readonly options: DecodingOptions;
  readonly text: AnswerText;
  readonly events: EventQueue<AnswerEvent>;
  readonly answerIds: number[];
  /** Once its pictures were seen. */
  read?: { readonly embedded: Tensor; readonly reading: Reading };
  decoding?: Decoding;
}

/**
 * Answers many conversations at once with one model, in this thread: between two steps of the decoder other events of
 * the program have their turn. A picture is looked at once, and what conversations have in common at their beginning is
 * read once. Its owner frees the model.
 */
export class ChatEngine implements ChatService, Disposable {
  readonly name: string;
  readonly contextLength: number;
  readonly drawing: SamplingOptions;
  readonly #model: ChatModel;
  readonly #maxWaiting: number;
  readonly #maxRunning: number;
  readonly #decoder: Decoder;
  readonly #features: PictureFeatures;
  readonly #prefixes: PrefixStore;
  readonly #canShare: boolean;
  readonly #mostLetters: number;
  #incoming: Request[] = [];
  readonly #running = new Set<Request>();
  #loop: Promise<void> | undefined;

  constructor(model: ChatModel, options: ChatEngineOptions = {}) {
    const { maxWaiting = 256, featureBytes = 2 ** 28, prefixBytes = 2 ** 29, maxRunning = 64, ...others } = options;
    this.name = model.name;
    this.contextLength = model.contextLength;
    this.drawing = model.drawing;
    this.#model = model;
    this.#maxWaiting = maxWaiting;
    this.#maxRunning = maxRunning;
    this.#decoder = new Decoder(model.language, { maxRunning, ...others });
    this.#features = new PictureFeatures((picture) => model.see(picture), featureBytes);
    this.#prefixes = new PrefixStore(prefixBytes);
    const longest = Object.keys(model.tokenizer.vocabulary).reduce((most, { length }) => Math.max(most, length), 1);
    this.#mostLetters = (longest + 1) * model.contextLength; // a space may stand between two
    // Dynamic frequencies follow a text's length: another text's keys are turned otherwise.
    this.#canShare = model.language.config.ropeScaling?.kind !== "dynamic";
  }

  get pending(): number {
    return this.#incoming.length + this.#running.size;
  }

  /**
   * @throws DataError for turns or pictures that the model refuses, and a prompt that fills its context
   * @throws BusyError when too many wait
   * @throws ConfigError for options that say nothing
   */
  ask(messages: readonly ChatMessage[], options: AskOptions = {}): AsyncIterable<AnswerEvent> {
    const { signal, stop, maxNewTokens, ...drawing } = options;
    if (this.#incoming.length >= this.#maxWaiting) throw new BusyError(`${this.#maxWaiting} requests are waiting`);
    this.#requireShort(messages);
    const prompt = this.#model.prompt(messages);
    const left = this.contextLength - prompt.inputIds.length;
    if (left < 1) {
      throw new DataError(
        `the conversation has ${prompt.inputIds.length} tokens, and the model reads ${this.contextLength} with its answer`,
      );
    }
    const request: Request = {
      prompt,
      options: { ...drawing, maxNewTokens: Math.min(maxNewTokens ?? LONGEST, left), stopIds: this.#model.stopIds },
      text: new AnswerText(this.#model.tokenizer, stop),
      events: new EventQueue(() => this.#cancel(request)),
      answerIds: [],
    };
    this.#decoder.check(request.options);
    request.events.push({ type: "begin", promptTokens: prompt.inputIds.length });
    this.#incoming.push(request);
    if (signal?.aborted) this.#cancel(request);
    else signal?.addEventListener("abort", () => this.#cancel(request), { once: true });
    this.#loop ??= this.#run();
    return request.events;
  }

  /** What cannot fit is refused before it is tokenised, which takes seconds where there are a million letters. */
  #requireShort(messages: readonly ChatMessage[]): void {
    const letters = messages
      .flatMap(({ content }) => (typeof content === "string" ? [{ type: "text" as const, text: content }] : content))
      .reduce((sum, part) => sum + (part.type === "text" ? part.text.length : 0), 0);
    if (letters <= this.#mostLetters) return;
    throw new DataError(
      `the conversation has ${letters} letters, more than ${this.contextLength} tokens, and the model reads ${this.contextLength} with its answer`,
    );
  }

  /** When all that was asked is answered. */
  async idle(): Promise<void> {
    while (this.#loop) await this.#loop;
  }

  /** Cancels what runs and frees what is kept. */
  [Symbol.dispose](): void {
    for (const request of [...this.#incoming, ...this.#running]) this.#cancel(request);
    this.#decoder[Symbol.dispose]();
    this.#features[Symbol.dispose]();
    this.#prefixes[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    await nextTurn(); // those that are asked in one go begin together
    while (this.pending > 0) {
      this.#admit();
      try {
        this.#decoder.step();
      } catch (error) {
        for (const request of [...this.#running]) this.#fail(request, error);
      }
      await nextTurn();
    }
    this.#loop = undefined;
  }

  /** Requests that have a place begin; pictures are looked at for a while only, so that those that run go on. */
  #admit(): void {
    const until = performance.now() + ADMISSION_MS;
    for (const request of [...this.#incoming]) {
      if (this.#decoder.pending >= this.#maxRunning) return;
      try {
        this.#begin(request);
      } catch (error) {
        this.#fail(request, error);
      }
      if (performance.now() > until) return;
    }
  }

  #begin(request: Request): void {
    request.read ??= this.#read(request.prompt);
    const { embedded, reading } = request.read;
    const shared = this.#canShare && !request.options.beams ? this.#shared(reading) : null;
    if (shared === "soon") return;
    const start = shared?.length ?? 0;
    const rest = embedded.narrow(1, start, reading.length - start);
    request.decoding = this.#decoder.add(rest, request.options, this.#listener(request, reading), shared?.fork(start));
    rest.dispose();
    embedded.dispose();
    this.#incoming = this.#incoming.filter((other) => other !== request);
    this.#running.add(request);
  }

  #read(prompt: ChatPrompt): { embedded: Tensor; reading: Reading } {
    const { imageTokenId } = this.#model;
    const features = prompt.pictures.map((picture) => this.#features.of(picture));
    try {
      // Where the model reads a picture, the picture's own number.
      const seen = prompt.pictures.flatMap((picture, index) => {
        const bits = Buffer.from(this.#features.keyOf(picture).split(":")[1]!, "base64").readUIntBE(0, 6);
        return new Array<number>(features[index]!.size(0)).fill(-1 - bits);
      });
      let at = 0;
      const reading = prompt.inputIds.map((id) => (id === imageTokenId ? seen[at++]! : id));
      return { embedded: noGrad(() => embedPrompt(this.#model, prompt, features)), reading };
    } finally {
      for (const tensor of features) tensor.dispose();
    }
  }

  /**
   * The longest beginning that is read already. "soon": one that runs is about to read a longer one.
   */
  #shared(reading: Reading): { length: number; fork(tokens: number): SequenceCache } | "soon" | null {
    let { length, fork } = this.#prefixes.find(reading);
    length = Math.min(length, reading.length - 1); // the last token's state is not kept
    for (const { decoding, read } of this.#running) {
      const common = Math.min(commonLength(reading, read!.reading), reading.length - 1);
      if (common < length + MIN_SHARED) continue;
      if (decoding!.cached < common) return "soon";
      length = common;
      fork = (tokens) => decoding!.fork(tokens);
    }
    return length < MIN_SHARED ? null : { length, fork };
  }

  #listener(request: Request, reading: Reading) {
    const { text, events, answerIds, prompt } = request;
    const tell = (piece: string) => piece !== "" && events.push({ type: "text", text: piece });
    return {
      token: (id: number): boolean => {
        answerIds.push(id);
        tell(text.add(id));
        return !text.isStopped;
      },
      retire: (cache: SequenceCache): void => {
        if (this.#canShare) this.#prefixes.add([...reading, ...answerIds], cache);
        else cache[Symbol.dispose]();
      },
      failed: (error: Error): void => this.#fail(request, error),
      ended: (reason: "stop" | "length" | "cancelled"): void => {
        tell(text.end());
        const usage = { promptTokens: prompt.inputIds.length, answerTokens: answerIds.length };
        events.push({ type: "end", reason: text.isStopped ? "stop" : reason, ...usage });
        events.end();
        this.#running.delete(request);
      },
    };
  }

  #cancel(request: Request): void {
    request.decoding?.cancel();
    if (!this.#incoming.includes(request)) return;
    this.#leave(request);
    const usage = { promptTokens: request.prompt.inputIds.length, answerTokens: 0 };
    request.events.push({ type: "end", reason: "cancelled", ...usage });
    request.events.end();
  }

  #fail(request: Request, error: unknown): void {
    request.events.fail(error);
    request.decoding?.cancel();
    this.#leave(request);
  }

  #leave(request: Request): void {
    this.#incoming = this.#incoming.filter((other) => other !== request);
    this.#running.delete(request);
    request.read?.embedded.dispose();
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
