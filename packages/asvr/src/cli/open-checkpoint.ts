import { setThreads } from "@asvr/torch";
import type { ChatModel } from "../chat/chat-model.js";
import { openChatModel } from "../chat/open.js";
import { type OpeningOptions, openOptions } from "./opening.js";

/** Opens a model in this process, as a command's options say. @throws ConfigError, CheckpointError */
export async function openCheckpoint(path: string, options: OpeningOptions, signal?: AbortSignal): Promise<ChatModel> {
  const model = await openChatModel(path, { ...openOptions(options), ...(signal && { signal }) });
  if (options.threads !== undefined) setThreads(options.threads); // a run has set those of its study
  return model;
}
