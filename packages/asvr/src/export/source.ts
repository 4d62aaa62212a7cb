import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CheckpointError, type DType, type nn, openWeights } from "@asvr/torch";
import { readWholeFile } from "@asvr/torch/files";
import { readConfig } from "../checkpoints/config-place.js";
import { openGguf } from "../checkpoints/gguf/file.js";
import { ggufTokenizerFiles } from "../checkpoints/gguf/tokenizer.js";
import { loadLlava, loadLlavaNext } from "../checkpoints/llava.js";
import { readPreprocessing } from "../checkpoints/preprocessor-config.js";
import type { Preprocessing } from "../data/preprocess.js";
import { ConfigError } from "../errors.js";
import { readText } from "../files.js";
import { IMAGE_TAG, templates } from "../language/conversation.js";
import { TextTokenizer, type TokenizerConfig } from "../language/tokenizer.js";
import type { Llava } from "../model/llava.js";
import type { LlavaNext } from "../model/llava-next.js";
import { layout } from "../parts/layout.js";
import { ownPreprocessing } from "../parts/own-pictures.js";
import { tokenizerFile } from "../parts/own-words.js";
import type { PartContext } from "../parts/part.js";
import { loadTrainedRow, type TrainedRow } from "../parts/trained-row.js";
import { latestCheckpoint } from "../training/checkpoint.js";
import { hubLlavaConfig } from "./hub-config.js";
import { modelCard, scoresOfRun } from "./model-card.js";
import { olderNamesIn } from "./older-names.js";
import {
  chatTemplate,
  generationConfig,
  preprocessorConfig,
  processorConfig,
  tokenizerConfig,
} from "./processor-files.js";
import { runAsLlava } from "./run-llava.js";

/** What an export is made of. */
export interface ExportSource {
  /** In host memory. */
  readonly model: Llava | LlavaNext;
  readonly tokenizer: TextTokenizer;
  /** How a picture becomes the tower's square. @throws ConfigError where no file says it */
  preprocessing(): Preprocessing;
  /** Every file of a Hugging Face folder but the weights, by name. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
  /** The visual head and what it is; null where the model has none. */
  readonly head: { readonly module: nn.Module; readonly config: Record<string, unknown> } | null;
  [Symbol.dispose](): void;
}

/** Whether this is the folder of a run, not of Hugging Face's. */
export function isRun(source: string): boolean {
  return existsSync(join(source, "recipe.json"));
}

/**
 * A trained run: its newest checkpoint, after its files were held against their hashes.
 * @throws ConfigError for a run that was never trained, or that Hugging Face's LLaVA can't express
 * @throws CheckpointError for a checkpoint that is not whole
 */
export async function runSource(context: PartContext, run: string): Promise<ExportSource> {
  await requireWholeCheckpoints(run);
  const row = await loadTrainedRow(context, run);
  try {
    const model = runAsLlava(row);
    const { tokenizer } = row;
    const head = headOf(row);
    return {
      model,
      tokenizer,
      head,
      preprocessing: () => ownPreprocessing(row.recipe),
      files: await runFiles(context, run, row, model),
      [Symbol.dispose]() {
        model.dispose();
        row[Symbol.dispose]();
      },
    };
  } catch (error) {
    row[Symbol.dispose]();
    throw error;
  }
}

async function runFiles(
  context: PartContext,
  run: string,
  row: TrainedRow,
  model: Llava,
): Promise<Map<string, string>> {
  const { recipe } = row;
  const words = await runWords(context.folder, run, row);
  const { madeWith = {} } = JSON.parse(readText(join(run, "recipe.json"))) as {
    madeWith?: Record<string, string>;
  };
  const card = modelCard({
    recipe,
    madeWith,
    position: (await latestCheckpoint(run))!,
    scores: await scoresOfRun(run),
    parameters: {
      "language model": row.model.language.parameterCount(),
      projector: row.model.projector.parameterCount(),
      "vision tower": model.visionTower.parameterCount(),
      ...(row.model.supervision && { "visual head": row.model.supervision.parameterCount() }),
    },
    hasHead: row.model.supervision !== null,
  });
  return new Map([...hubFiles(row, model, words), ["README.md", card]]);
}

interface Words {
  /** tokenizer.json */
  readonly tokenizer: string;
  /** tokenizer_config.json */
  readonly config: TokenizerConfig;
}

/** The files of a run's text tokenizer; that of a published model gets the token for pictures that it lacks. */
async function runWords(study: string, run: string, { tokenizer }: Pick<TrainedRow, "tokenizer">): Promise<Words> {
  const published = layout.publishedModel(study);
  const file = tokenizerFile(study, run);
  if (!existsSync(join(run, "tokenizer.json")) && existsSync(published)) {
    using opened = openGguf(published);
    const hasToken = tokenizer.tokenId(IMAGE_TAG) !== undefined;
    const { json, config } = ggufTokenizerFiles(opened.metadata, hasToken ? [] : [IMAGE_TAG]);
    return { tokenizer: JSON.stringify({ version: "1.0", truncation: null, padding: null, ...json }), config };
  }
  const config = JSON.parse(readText(join(dirname(file), "tokenizer_config.json"))) as TokenizerConfig;
  return { tokenizer: readText(file), config };
}

/** What transformers reads beside the weights. */
export function hubFiles(
  { recipe, tokenizer }: Pick<TrainedRow, "recipe" | "tokenizer">,
  model: Llava,
  words: Words,
): Map<string, string> {
  const chat = chatTemplate(templates[recipe.stages.tuning.template]);
  return new Map([
    ["config.json", json(hubLlavaConfig(model.config, recipe.data.maxLength))],
    ["generation_config.json", json(generationConfig(tokenizer))],
    ["preprocessor_config.json", json(preprocessorConfig(ownPreprocessing(recipe)))],
    ["processor_config.json", json(processorConfig(recipe.encoder.patchSize))],
    ["tokenizer.json", words.tokenizer],
    ["tokenizer_config.json", json(tokenizerConfig(words.config, chat))],
    ["chat_template.jinja", chat],
    ["chat_template.json", json({ chat_template: chat })], // where transformers up to 4.47 looks
  ]);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function headOf({ model, recipe, parts }: TrainedRow): ExportSource["head"] {
  if (!model.supervision) return null;
  const { targets } = model.supervision;
  const { hiddenSize } = model.language.config;
  const heads = targets.map((target) => {
    const { depth, codebookSize, codeDim } = parts[target as "semantic" | "appearance"];
    return { target, ...recipe.visualHead, hiddenSize, depth, codebookSize, codeDim };
  });
  const { kind, alignment, weight } = recipe.supervision;
  const config = { format: "asvr-visual-head-1", supervision: kind, alignment, weight, heads };
  return { module: model.supervision, config };
}

/** Training goes on from an older checkpoint where the newest is not whole; what is handed on must not be another one. */
async function requireWholeCheckpoints(run: string): Promise<void> {
  const checkpoints = join(run, "checkpoints");
  if (!existsSync(checkpoints)) return;
  for (const name of await readdir(checkpoints)) {
    if (name.startsWith(".") || existsSync(join(checkpoints, name, "manifest.json"))) continue;
    throw new CheckpointError(
      `${join(checkpoints, name)} has no manifest.json: it is not whole. Delete it to export the one before it.`,
    );
  }
}

/**
 * A folder of Hugging Face's LlavaForConditionalGeneration or LlavaNextForConditionalGeneration, as it is, but that
 * older versions of transformers find in its config.json what they know by other names.
 * @throws ConfigError, CheckpointError
 */
export async function hubSource(folder: string): Promise<ExportSource> {
  const file = join(folder, "config.json");
  if (!existsSync(file)) {
    throw new ConfigError(
      `${folder} is neither the folder of a run (recipe.json) nor one of Hugging Face's (config.json)`,
    );
  }
  const config = readConfig(file);
  const isNext = config.model_type === "llava_next";
  const model = (isNext ? loadLlavaNext : loadLlava)(folder, { device: "cpu", dtype: dtypeOf(folder) });
  const files = new Map<string, string | Uint8Array>();
  for (const name of (await readdir(folder)).sort()) {
    if (isCompanion(name)) files.set(name, readWholeFile(join(folder, name)));
  }
  files.set("config.json", olderNamesIn(String(files.get("config.json"))));
  try {
    return {
      model,
      files,
      tokenizer: TextTokenizer.fromFolder(folder),
      preprocessing: () => readPreprocessing(folder, model.config.vision.config.imageSize),
      head: null,
      [Symbol.dispose]: () => model.dispose(),
    };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** Of a folder's files those that are no weights. */
function isCompanion(name: string): boolean {
  return /\.(json|jinja|md|txt|model)$/.test(name) && !name.endsWith(".index.json");
}

/** The dtype of a folder's weights, or float32 where they differ: so none is changed. */
function dtypeOf(folder: string): DType {
  using weights = openWeights(folder);
  const found = new Set([...weights.entries.values()].map(({ dtype }) => dtype));
  return found.size === 1 ? [...found][0]! : "float32";
}
