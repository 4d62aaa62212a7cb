import { Worker } from "node:worker_threads";
import { ConfigError, DataError } from "../errors.js";
import type { SamplingOptions } from "../language/decoding/sampling.js";
import type { ChatEngineOptions } from "./chat-engine.js";
import type { ChatMessage } from "./chat-model.js";
import { type AnswerEvent, type AskOptions, BusyError, type ChatService } from "./chat-service.js";
import { EventQueue } from "./event-queue.js";
import type { OpenOptions } from "./open.js";

/** What the thread is started with. */
export interface WorkerStart {
  readonly path: string;
  readonly open: OpenOptions;
  readonly engine: WorkerOptions;
}

export interface WorkerOptions extends ChatEngineOptions {
  /** Threads of one operator; default: libtorch's, as many as cores. Small models are faster with one. */
  readonly threads?: number;
}

export type ToWorker =
  | {
      readonly kind: "ask";
      readonly id: number;
      readonly messages: readonly ChatMessage[];
      readonly options: Omit<AskOptions, "signal">;
    }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "close" };

interface ToldError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
}

export type FromWorker =
  | ({ readonly kind: "opened" } & Pick<ChatService, "name" | "contextLength" | "drawing">)
  | { readonly kind: "failed"; readonly error: ToldError }
  | { readonly kind: "event"; readonly id: number; readonly event: AnswerEvent }
  | { readonly kind: "refused"; readonly id: number; readonly error: ToldError };

/**
 * A chat model in a thread of its own. A step of a large model takes a second, and reading a long prompt many: this
 * thread goes on taking requests, refusing, cancelling and telling its health meanwhile. A thread and not a process,
 * since pictures and texts go to and fro, and whoever stops the one stops both.
 */
export class WorkerChat implements ChatService, AsyncDisposable {
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  readonly #open = new Map<number, EventQueue<AnswerEvent>>();
  #nextId = 0;
  #whenIdle: (() => void)[] = [];
  #failure: Error | undefined;

  private constructor(
    worker: Worker,
    readonly name: string,
    readonly contextLength: number,
    readonly drawing: SamplingOptions,
  ) {
    this.#worker = worker;
    this.#exited = new Promise((resolve) => worker.once("exit", resolve));
    worker.on("message", (message: FromWorker) => this.#hear(message));
    worker.on("error", (error) => this.#fail(error));
    worker.on("exit", () => this.#fail(new Error("the thread of the model ended")));
  }

  /** Opens the model. @throws what `openChatModel` throws */
  static async open(path: string, open: OpenOptions = {}, engine: WorkerOptions = {}): Promise<WorkerChat> {
    const start: WorkerStart = { path, open, engine };
    const worker = new Worker(new URL("./chat-worker.js", import.meta.url), { workerData: start });
    const first = await new Promise<FromWorker>((resolve, reject) => {
      worker.once("message", resolve).once("error", reject);
      worker.once("exit", () => reject(new Error("the thread of the model ended before it was open")));
    });
    if (first.kind === "failed") throw errorOf(first.error);
    if (first.kind !== "opened") throw new Error(`the thread of the model begins with ${first.kind}`);
    return new WorkerChat(worker, first.name, first.contextLength, first.drawing);
  }

  get pending(): number {
    return this.#open.size;
  }

  ask(messages: readonly ChatMessage[], { signal, ...options }: AskOptions = {}): AsyncIterable<AnswerEvent> {
    if (this.#failure) throw this.#failure;
    const id = this.#nextId++;
    const cancel = () => this.#tell({ kind: "cancel", id });
    const events = new EventQueue<AnswerEvent>(cancel);
    this.#open.set(id, events);
    this.#tell({ kind: "ask", id, messages, options });
    if (signal?.aborted) cancel();
    else signal?.addEventListener("abort", cancel, { once: true });
    return events;
  }

  async idle(): Promise<void> {
    while (this.#open.size > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  /** Cancels what runs, and frees the model. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#tell({ kind: "close" });
    await this.#exited;
  }

  #tell(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #hear(message: FromWorker): void {
    if (message.kind !== "event" && message.kind !== "refused") return;
    const events = this.#open.get(message.id);
    if (message.kind === "refused") events?.fail(errorOf(message.error));
    else events?.push(message.event);
    if (message.kind === "event" && message.event.type !== "end") return;
    events?.end();
    this.#open.delete(message.id);
    this.#wake();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const events of this.#open.values()) events.fail(this.#failure);
    this.#open.clear();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#whenIdle.splice(0)) wake();
  }
}

const kinds: Readonly<Record<string, new (message: string) => Error>> = { ConfigError, DataError, BusyError };

/** An error of the thread, as what it was there. */
function errorOf({ name, message, stack }: ToldError): Error {
  const error = new (kinds[name] ?? Error)(message);
  if (!kinds[name]) Object.assign(error, { name, stack });
  return error;
}
