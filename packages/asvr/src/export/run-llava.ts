import { F, nn, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { IMAGE_TAG } from "../language/conversation.js";
import { Llava, type LlavaConfig } from "../model/llava.js";
import type { TrainedRow } from "../parts/trained-row.js";
import type { SiglipVisionTower } from "../vision/siglip.js";
import { NORMALISED_SCALE, normalisingLayer } from "./normalising-layer.js";

type Row = Pick<TrainedRow, "recipe" | "model" | "parts" | "tokenizer">;

/**
 * A trained run as a whole LLaVA, in host memory: the same answers from pixels alone. The tower is the run's encoder
 * without its head, up to the layer that is read; then, where the run normalises features, the layer that does it
 * (`normalisingLayer`), which is read; then one more, which is not, since Hugging Face's versions disagree on what a
 * tower's last state is. A vocabulary without a token for pictures gets one. The caller frees it.
 * @throws ConfigError for a run that Hugging Face's LLaVA can't express
 */
export function runAsLlava({ recipe, model, parts, tokenizer }: Row): Llava {
  if (recipe.visualInput === "discrete") {
    throw new ConfigError(
      "this run reads the embeddings of discrete codes, which Hugging Face's LLaVA can't express: it has features only. " +
        "Export a run with visualInput continuous.",
    );
  }
  const { encoder } = parts;
  const { normaliseFeatures } = recipe;
  const read = encoder.layerOf(recipe.encoder.selectLayer);
  const layers = read + (normaliseFeatures ? 2 : 1);
  const language = model.language.config;
  const imageTokenId = tokenizer.tokenId(IMAGE_TAG) ?? language.vocabSize;
  const config: LlavaConfig = {
    vision: { kind: "siglip", config: { ...encoder.config, head: "none", layers } },
    selection: { layers: [-2], strategy: "full" },
    projector: {},
    language: { ...language, vocabSize: Math.max(language.vocabSize, imageTokenId + 1) },
    imageTokenId,
  };
  return tidy(() => {
    const weights = new Map<string, Tensor>();
    const add = (prefix: string, own: ReadonlyMap<string, Tensor>) => {
      for (const [name, tensor] of own) weights.set(`${prefix}.${name}`, tensor);
    };
    add("vision_tower", towerWeights(encoder, read, layers));
    const scale = normaliseFeatures ? NORMALISED_SCALE : 1;
    add("multi_modal_projector", projectorWeights(model.projector.stateDict(), scale));
    add("language_model", languageWeights(model.language.stateDict(), config.language.vocabSize));
    const llava = nn.creating({ device: "cpu", dtype: "float32", initialise: false }, () => new Llava(config));
    try {
      return llava.load(weights);
    } catch (error) {
      llava.dispose();
      throw error;
    }
  });
}

function towerWeights(encoder: SiglipVisionTower, read: number, layers: number): Map<string, Tensor> {
  const tower = new Map<string, Tensor>();
  for (const [name, tensor] of encoder.stateDict()) {
    const [, layer] = /^encoder\.layers\.(\d+)\./.exec(name) ?? [];
    if (!name.startsWith("head.") && (layer === undefined || Number(layer) < read)) tower.set(name, tensor);
  }
  const added = normalisingLayer(encoder.config);
  for (let layer = read; layer < layers; layer++) {
    for (const [name, tensor] of added) tower.set(`encoder.layers.${layer}.${name}`, tensor);
  }
  return tower;
}

function projectorWeights(projector: ReadonlyMap<string, Tensor>, scale: number): Map<string, Tensor> {
  return new Map([...projector].map(([name, own]) => [name, name === "0.weight" ? own.div(scale) : own]));
}

/** With rows for tokens that the run never saw: the mean of the others, so that none of them is ever the likeliest. */
function languageWeights(language: ReadonlyMap<string, Tensor>, vocabSize: number): Map<string, Tensor> {
  const withRows = (table: Tensor) => {
    const more = vocabSize - table.size(0);
    return more > 0 ? F.cat([table, table.mean([0], true).expand([more, -1])]) : table;
  };
  const isTable = (name: string) => name === "model.embed_tokens.weight" || name === "lm_head.weight";
  return new Map([...language].map(([name, own]) => [name, isTable(name) ? withRows(own) : own]));
}
