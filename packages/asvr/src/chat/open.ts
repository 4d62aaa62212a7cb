import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { defaultDevice } from "@asvr/torch";
import { readConfig } from "../checkpoints/config-place.js";
import { ggufEndTokens } from "../checkpoints/gguf/end-tokens.js";
import { openGguf } from "../checkpoints/gguf/file.js";
import { loadGgufLanguageModel } from "../checkpoints/gguf/language-model.js";
import { loadGgufLlava } from "../checkpoints/gguf/llava.js";
import { tokenizerFromGguf } from "../checkpoints/gguf/tokenizer.js";
import { type HubOptions, resolveCheckpoint } from "../checkpoints/hub/resolve.js";
import { nameTower } from "../checkpoints/known-towers.js";
import { loadLanguageModel } from "../checkpoints/language-model.js";
import { loadLlava, loadLlavaNext } from "../checkpoints/llava.js";
import type { LoadOptions } from "../checkpoints/load-module.js";
import { loadOriginalLlava, type OriginalOptions, towerToFetch } from "../checkpoints/original-llava.js";
import { isOriginalLlava, type LanguageKind } from "../checkpoints/original-llava-config.js";
import { readPreprocessing } from "../checkpoints/preprocessor-config.js";
import { requireNoAdapter, requirePlainWeights, requireWholeGguf } from "../checkpoints/whole-model.js";
import { ConfigError } from "../errors.js";
import type { BuiltInTemplate } from "../language/built-in-templates.js";
import { ChatTemplate, type TemplateTokens } from "../language/chat-template.js";
import { IMAGE_TAG } from "../language/conversation.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { readSettings, useSettings } from "../parts/settings-file.js";
import { studyOf } from "../parts/start.js";
import { loadTrainedRow } from "../parts/trained-row.js";
import type { ChatModel } from "./chat-model.js";
import { defaultDrawing } from "./default-drawing.js";
import { LanguageChat } from "./language-chat.js";
import { LlavaChat } from "./llava-chat.js";
import { RunChat } from "./run-chat.js";

export interface OpenOptions
  extends LoadOptions,
    Pick<OriginalOptions, "visionTower" | "base">,
    Pick<HubOptions, "revision" | "offline" | "signal" | "onProgress"> {
  /** For a checkpoint without a chat template of its own: the one that it was trained with. */
  readonly template?: BuiltInTemplate;
}

/**
 * Opens a model that can be asked: a folder, or a hub id (`owner/name`, `owner/name@revision`), of Hugging Face's LLaVA
 * or LLaVA-NeXT, of LLaVA's or ASVR's own code, or of a language model alone; a GGUF file of a language model; or a run that was trained here.
 * @param options dtype: default as stored; a run's is float32
 * @throws ConfigError that says what the path holds instead, or what in it this build can't do
 * @throws CheckpointError for weights that don't fit
 */
export async function openChatModel(path: string, options: OpenOptions = {}): Promise<ChatModel> {
  const folder = await resolveCheckpoint(path, options);
  if (!statSync(folder).isDirectory()) {
    if (folder.endsWith(".gguf")) return openGgufFile(folder, options);
    throw new ConfigError(
      `${path} is a file: give a GGUF file, or the folder of the checkpoint, with its config.json and tokenizer`,
    );
  }
  if (existsSync(join(folder, "recipe.json"))) return openRun(folder, options);
  requireNoAdapter(folder);
  const file = join(folder, "config.json");
  if (!existsSync(file)) {
    const gguf = ggufIn(folder);
    if (gguf !== undefined) return openGgufFile(gguf, options);
    throw new ConfigError(
      `${path} holds neither a config.json, as a checkpoint does, nor a recipe.json, as a run does`,
    );
  }
  const config = readConfig(file);
  requirePlainWeights(config, { file });
  const stored = { adopt: true, ...options, dtype: options.dtype ?? "stored" } as const;
  if (isOriginalLlava(config)) return openOriginal(folder, stored);
  if (config.model_type === "llava" || config.model_type === "llava_next") {
    return openHuggingFace(folder, config.model_type, stored);
  }
  if (languageModels.has(config.model_type)) return openLanguageModel(folder, stored);
  throw new ConfigError(
    `${file}: model_type is ${JSON.stringify(config.model_type)}; this build can ask llava, llava_next, ${[...languageModels].join(", ")}, folders of LLaVA's and ASVR's own code, and its own runs`,
  );
}

const languageModels: ReadonlySet<unknown> = new Set(["llama", "mistral", "qwen2"]);

function openLanguageModel(folder: string, options: OpenOptions): ChatModel {
  const tokenizer = TextTokenizer.fromFolder(folder);
  const template = ChatTemplate.fromFolder(folder, { fallback: options.template });
  const language = loadLanguageModel(folder, options);
  return new LanguageChat({
    name: basename(folder),
    language,
    tokenizer,
    template,
    stopIds: stopIdsOf(folder, tokenizer),
    drawing: defaultDrawing(folder),
  });
}

/**
 * A language model alone, or a LLaVA where an mmproj file lies beside it. Quantised weights are decoded: to float32,
 * unless another dtype is asked for.
 */
function openGgufFile(path: string, { device, dtype, template: fallback }: OpenOptions): ChatModel {
  using file = openGguf(path);
  requireWholeGguf(path, file.metadata);
  const tokenizer = tokenizerFromGguf(file.metadata);
  const source = file.metadata.get("tokenizer.chat_template");
  const tokens = ggufTokens(file.metadata);
  if (typeof source !== "string" && fallback === undefined) {
    throw new ConfigError(
      `${path} has no chat template (tokenizer.chat_template): say which built-in one it was trained with`,
    );
  }
  const template =
    typeof source === "string" ? new ChatTemplate(source, tokens) : ChatTemplate.builtIn(fallback!, tokens);
  const options = { device, ...(dtype !== "stored" && { dtype }) };
  const parts = { name: basename(path, ".gguf"), tokenizer, template, stopIds: ggufEndTokens(file.metadata) };
  const mmproj = mmprojBeside(path);
  if (mmproj === undefined) return new LanguageChat({ ...parts, language: loadGgufLanguageModel(path, options) });
  const imageTokenId = tokenizer.tokenId(IMAGE_TAG) ?? tokenizer.vocabSize;
  return new LlavaChat({ ...parts, ...loadGgufLlava(path, mmproj, { ...options, imageTokenId }) });
}

const isMmproj = (name: string) => /mmproj.*\.gguf$/i.test(name);

/** The file of tower and projector beside a language model's; of several the largest, which is the most exact. */
function mmprojBeside(path: string): string | undefined {
  const files = readdirSync(dirname(path)).filter(isMmproj);
  const sized = files.map((name) => join(dirname(path), name)).map((file) => ({ file, size: statSync(file).size }));
  return sized.sort((a, b) => b.size - a.size)[0]?.file;
}

/** The language model's file of a folder of llama.cpp's files; undefined for another folder. */
function ggufIn(folder: string): string | undefined {
  const files = readdirSync(folder).filter((name) => name.endsWith(".gguf") && !isMmproj(name));
  if (files.length > 1) {
    throw new ConfigError(`${folder} holds several language models (${files.join(", ")}): name one of these files`);
  }
  return files[0] && join(folder, files[0]);
}

/** The special tokens that a template may write. */
function ggufTokens(metadata: ReadonlyMap<string, unknown>): TemplateTokens {
  const tokens = metadata.get("tokenizer.ggml.tokens") as readonly string[];
  const names = ["bos", "eos"].flatMap((name): [string, string][] => {
    const id = metadata.get(`tokenizer.ggml.${name}_token_id`);
    return typeof id === "number" && tokens[id] !== undefined ? [[`${name}_token`, tokens[id]]] : [];
  });
  return Object.fromEntries(names);
}

function openHuggingFace(folder: string, type: "llava" | "llava_next", options: OpenOptions): ChatModel {
  const tokenizer = TextTokenizer.fromFolder(folder);
  const template = ChatTemplate.fromFolder(folder, { fallback: options.template ?? "vicuna" });
  const llava = type === "llava" ? loadLlava(folder, options) : loadLlavaNext(folder, options);
  try {
    const preprocessing = readPreprocessing(folder, llava.config.vision.config.imageSize);
    const answering = { stopIds: stopIdsOf(folder, tokenizer), drawing: defaultDrawing(folder) };
    return new LlavaChat({ name: basename(folder), llava, tokenizer, template, preprocessing, ...answering });
  } catch (error) {
    llava.dispose();
    throw error;
  }
}

/** What the original code asks each language model with. */
const originalTemplates: Readonly<Record<LanguageKind, BuiltInTemplate>> = {
  llama: "vicuna",
  mistral: "mistral",
  qwen2: "chatml",
};

async function openOriginal(folder: string, given: OpenOptions): Promise<ChatModel> {
  const tower = towerToFetch(folder, given);
  const fetched = tower === undefined ? given.visionTower : await fetchTower(folder, tower, given);
  const options = { ...given, visionTower: fetched };
  const tokenizer = TextTokenizer.fromFolder(options.base ?? folder);
  const { llava, languageKind, preprocessing } = loadOriginalLlava(folder, options);
  try {
    const fallback = options.template ?? originalTemplates[languageKind];
    const template = ChatTemplate.fromFolder(folder, { fallback });
    const answering = { stopIds: stopIdsOf(folder, tokenizer), drawing: defaultDrawing(folder) };
    return new LlavaChat({ name: basename(folder), llava, tokenizer, template, preprocessing, ...answering });
  } catch (error) {
    llava.dispose();
    throw error;
  }
}

/** The tower that a folder only names. @throws ConfigError that says where it is named */
async function fetchTower(folder: string, name: string, options: OpenOptions): Promise<string> {
  try {
    return await resolveCheckpoint(name, { ...options, revision: "main" });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      `${join(folder, "config.json")}: mm_vision_tower is ${JSON.stringify(name)}: ${error.message.replace(/\.$/, "")}. ${nameTower(name)}`,
      { cause: error },
    );
  }
}

async function openRun(folder: string, options: OpenOptions): Promise<ChatModel> {
  const study = await studyOf(folder);
  const settings = await readSettings(study);
  useSettings(settings);
  const { signal } = new AbortController();
  const device = options.device ?? defaultDevice();
  const row = await loadTrainedRow({ folder: study, settings, device, signal, onProgress: () => {} }, folder);
  return new RunChat(basename(folder), row);
}

/** The tokenizer's eos, and what `generation_config.json` or `config.json` names beside it. */
function stopIdsOf(folder: string, tokenizer: TextTokenizer): number[] {
  const ids = new Set([tokenizer.eosId]);
  for (const name of ["generation_config.json", "config.json"]) {
    const file = join(folder, name);
    const eos = existsSync(file) ? readConfig(file).eos_token_id : undefined;
    for (const id of [eos].flat()) if (Number.isInteger(id)) ids.add(id as number);
  }
  return [...ids];
}
