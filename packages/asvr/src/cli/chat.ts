import { createInterface } from "node:readline/promises";
import type { ChatMessage, ChatPart } from "../chat/chat-model.js";
import type { AskOptions, ChatService } from "../chat/chat-service.js";
import { WorkerChat } from "../chat/worker-chat.js";
import type { RgbImage } from "../data/images.js";
import { ConfigError, DataError } from "../errors.js";
import { type OpeningOptions, openOptions } from "./opening.js";
import { printJson } from "./options.js";
import { readPicture } from "./picture.js";
import { print, printAnswer } from "./printable.js";

export interface ChatOptions extends OpeningOptions {
  image: readonly string[];
  prompt?: string;
  system?: string;
  maxNewTokens: number;
  temperature?: number;
  topP?: number;
  seed: number;
  json: boolean;
}

/** Answers once, or talks until the user leaves. */
export async function chat(checkpoint: string, options: ChatOptions): Promise<void> {
  const { prompt, json } = options;
  if (json && prompt === undefined) throw new ConfigError("--json needs a --prompt: a conversation is no JSON object");
  if (!Number.isSafeInteger(options.seed)) throw new ConfigError("--seed must be a whole number");
  const pictures = await Promise.all(options.image.map((file) => readPicture("--image", file)));
  const service = await WorkerChat.open(checkpoint, openOptions(options), {
    maxRunning: 1,
    prefixBytes: 2 ** 31,
    ...(options.threads && { threads: options.threads }),
  });
  try {
    const talk = new Conversation(service, options, pictures);
    if (prompt === undefined) await converse(talk, service.name);
    else await askOnce(talk, prompt, { checkpoint, ...options });
  } finally {
    await service[Symbol.asyncDispose]();
  }
}

async function askOnce(
  talk: Conversation,
  prompt: string,
  { checkpoint, image, json }: ChatOptions & { checkpoint: string },
): Promise<void> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const started = performance.now();
  try {
    const answer = await talk.say(prompt, (text) => json || printAnswer(text), stop.signal);
    const seconds = (performance.now() - started) / 1000;
    if (json) printJson({ checkpoint, image, prompt, ...answer, seconds });
    else print("\n");
    if (answer.reason === "cancelled") process.exitCode = 130;
  } catch (error) {
    // A prompt that the model refuses is a wrong call.
    if (error instanceof DataError) throw new ConfigError(error.message, { cause: error });
    throw error;
  }
}

async function converse(talk: Conversation, name: string): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  // Piped input ends while its first lines are still answered; since Node 24 a closed interface throws when it prompts.
  let isClosed = false;
  terminal.once("close", () => {
    isClosed = true;
  });
  const ask = () => (isClosed ? print(terminal.getPrompt()) : terminal.prompt());
  let stop: AbortController | undefined;
  let leave = () => {};
  const left = new Promise<true>((resolve) => {
    leave = () => resolve(true);
  });
  terminal.on("SIGINT", () => {
    if (stop && !stop.signal.aborted) return stop.abort();
    leave();
    terminal.close();
  });
  print(`${name}. /image FILE, /reset, /exit\n`);
  ask();
  for await (const line of terminal) {
    stop = new AbortController();
    const isOver = await Promise.race([reply(talk, line.trim(), stop.signal), left]);
    stop = undefined;
    if (isOver) break;
    ask();
  }
  terminal.close();
}

/** What one line gets. Returns whether the conversation is over. */
async function reply(talk: Conversation, line: string, signal: AbortSignal): Promise<boolean> {
  const [, command, argument = ""] = /^\/(\w+)\s*(.*)$/.exec(line) ?? [];
  try {
    if (line === "") return false;
    if (command === "exit") return true;
    if (command === "reset") {
      talk.reset();
      print("a new conversation\n");
    } else if (command === "image") {
      const picture = await readPicture("/image", argument);
      talk.show(picture);
      print(`${picture.width} x ${picture.height} pixels, shown with the next message\n`);
    } else if (command) print(`there is no /${command}; there are /image FILE, /reset, /exit\n`);
    else {
      await talk.say(line, printAnswer, signal);
      print("\n");
    }
  } catch (error) {
    if (!(error instanceof DataError || error instanceof ConfigError)) throw error;
    print(`${error.message}\n`);
  }
  return false;
}

/** What was said so far. A message that fails is not part of it. */
class Conversation {
  readonly #service: ChatService;
  readonly #options: ChatOptions;
  readonly #first: readonly RgbImage[];
  #messages: ChatMessage[] = [];
  /** Shown with the next message. */
  #shown: RgbImage[] = [];

  constructor(service: ChatService, options: ChatOptions, pictures: readonly RgbImage[]) {
    this.#service = service;
    this.#options = options;
    this.#first = pictures;
    this.reset();
  }

  /** Back to the beginning: the pictures and the system text of the command line. */
  reset(): void {
    const { system } = this.#options;
    this.#messages = system === undefined ? [] : [{ role: "system", content: system }];
    this.#shown = [...this.#first];
  }

  show(picture: RgbImage): void {
    this.#shown.push(picture);
  }

  async say(text: string, onText: (text: string) => unknown, signal: AbortSignal) {
    const { maxNewTokens, temperature, topP, seed } = this.#options;
    const pictures = this.#shown.map((image): ChatPart => ({ type: "image", image }));
    const content = pictures.length > 0 ? [...pictures, { type: "text" as const, text }] : text;
    const messages: ChatMessage[] = [...this.#messages, { role: "user", content }];
    const drawing = {
      ...this.#service.drawing,
      ...(temperature !== undefined && { temperature }),
      ...(topP !== undefined && { topP }),
    };
    const options: AskOptions = { maxNewTokens, ...drawing, seed, signal };
    let answer = "";
    for await (const event of this.#service.ask(messages, options)) {
      if (event.type === "text") {
        answer += event.text;
        onText(event.text);
      } else if (event.type === "end") {
        this.#messages = [...messages, { role: "assistant", content: answer }];
        this.#shown = [];
        const { reason, promptTokens, answerTokens } = event;
        return { answer, reason, promptTokens, answerTokens };
      }
    }
    throw new Error("the answer did not end");
  }
}
