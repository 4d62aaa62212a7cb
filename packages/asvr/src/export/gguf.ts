import { join } from "node:path";
import { noGrad, tidy } from "@asvr/torch";
import { FIT } from "../checkpoints/gguf/llava.js";
import { field, writeGguf } from "../checkpoints/gguf/write.js";
import { llavaConfig } from "../checkpoints/llava-config.js";
import { ConfigError } from "../errors.js";
import { chatTemplateAmong } from "../language/chat-template-files.js";
import { Llava } from "../model/llava.js";
import { makeWhole } from "./folder.js";
import { type GgufFloat, languageFields, languageWeights } from "./gguf-language.js";
import { isWordLevel, tokenizerFields, type WordsJson, withSpaces } from "./gguf-tokenizer.js";
import { visionFields, visionWeights } from "./gguf-vision.js";
import type { Exported } from "./hf.js";
import type { ExportSource } from "./source.js";

/**
 * Writes a LLaVA as llama.cpp has it: `language-TYPE.gguf`, a whole language model with its tokenizer, and
 * `mmproj-TYPE.gguf`, tower and projector. The folder appears whole or not at all.
 * @throws ConfigError for what llama.cpp can't express, and when `out` exists and is not empty
 */
export async function exportGguf(
  source: ExportSource,
  out: string,
  { name, type }: { name: string; type: GgufFloat },
): Promise<Exported> {
  const { model, tokenizer } = source;
  if (!(model instanceof Llava))
    throw new ConfigError("this build writes no GGUF of LLaVA-NeXT, which sees pictures in tiles: export hf writes it");
  const words = readFile(source, "tokenizer.json") as WordsJson;
  const { mean, std, mode } = source.preprocessing();
  const config = llavaConfig(readFile(source, "config.json") as Record<string, unknown>);
  const contextLength = config.language.maxPositionEmbeddings!;
  const { languageModel } = model;
  const language = new Map([
    ...languageFields(languageModel.config, { name, contextLength, type }),
    ...tokenizerFields(words, tokenizer, languageModel.config.vocabSize),
  ]);
  const chat = chatTemplateAmong(source.files);
  if (chat !== undefined) {
    const template = isWordLevel(words.model) ? withSpaces(chat, words.added_tokens) : chat;
    language.set("tokenizer.chat_template", field.string(template));
  }
  const vision = visionFields(model, { name, type, normalisation: { mean, std } });
  vision.set(FIT, field.string(mode));
  const files = [`language-${type}.gguf`, `mmproj-${type}.gguf`] as const;
  await makeWhole(out, async (folder) => {
    noGrad(() => tidy(() => writeGguf(join(folder, files[0]), language, languageWeights(languageModel, type))));
    noGrad(() => tidy(() => writeGguf(join(folder, files[1]), vision, visionWeights(model, type))));
  });
  return { files: [...files], parameters: model.parameterCount() };
}

function readFile({ files }: ExportSource, name: string): unknown {
  const content = files.get(name);
  if (content === undefined) throw new ConfigError(`the model has no ${name}, which a GGUF file is made with`);
  try {
    return JSON.parse(String(content));
  } catch (cause) {
    throw new ConfigError(`${name} is no JSON`, { cause });
  }
}
