// The thread of one model: started by WorkerChat, which is told what each request gives.
import { parentPort, workerData } from "node:worker_threads";
import { setThreads } from "@asvr/torch";
import { ChatEngine } from "./chat-engine.js";
import type { ChatModel } from "./chat-model.js";
import { openChatModel } from "./open.js";
import type { FromWorker, ToWorker, WorkerStart } from "./worker-chat.js";

const port = parentPort!;
const { path, open, engine } = workerData as WorkerStart;
const { threads, ...options } = engine;
const tell = (message: FromWorker) => port.postMessage(message);

function describe(error: unknown) {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { name, message, stack };
}

function serve(model: ChatModel): void {
  const engine = new ChatEngine(model, options);
  const running = new Map<number, AbortController>();

  async function answer({ id, messages, options: asked }: Extract<ToWorker, { kind: "ask" }>): Promise<void> {
    const stop = new AbortController();
    running.set(id, stop);
    try {
      for await (const event of engine.ask(messages, { ...asked, signal: stop.signal }))
        tell({ kind: "event", id, event });
    } catch (error) {
      tell({ kind: "refused", id, error: describe(error) });
    } finally {
      running.delete(id);
    }
  }

  port.on("message", (message: ToWorker) => {
    if (message.kind === "ask") void answer(message);
    else if (message.kind === "cancel") running.get(message.id)?.abort();
    else {
      engine[Symbol.dispose]();
      model[Symbol.dispose]();
      port.unref(); // nothing is awaited: the thread ends. Deno has no `close` here
    }
  });
  tell({ kind: "opened", name: model.name, contextLength: model.contextLength, drawing: model.drawing });
}

try {
  const model = await openChatModel(path, open);
  if (threads !== undefined) setThreads(threads); // a run has set those of its study
  serve(model);
} catch (error) {
  tell({ kind: "failed", error: describe(error) });
  port.unref();
}
