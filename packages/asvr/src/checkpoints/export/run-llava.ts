import { nn, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../../errors.js";
import { IMAGE_TAG } from "../../language/conversation.js";
import { Llava, type LlavaConfig } from "../../model/llava.js";
import type { TrainedRow } from "../../reproduce/trained-row.js";
import { NORMALISED_SCALE, normalisingLayer } from "./normalising-layer.js";

type Row = Pick<TrainedRow, "recipe" | "model" | "parts" | "tokenizer">;

/**
 * A trained run as a whole LLaVA, in host memory: the same answers from pixels alone. The tower is the run's encoder
 * without its head, up to the layer that is read; then the layer that normalises (`normalisingLayer`), which is read;
 * then one more, which is not, since Hugging Face's versions disagree on what a tower's last state is. The caller frees it.
 * @throws ConfigError for a run that Hugging Face's LLaVA can't express
 */
export function runAsLlava({ recipe, model, parts, tokenizer }: Row): Llava {
  if (recipe.visualInput === "discrete") {
    throw new ConfigError(
      "this run reads the embeddings of discrete codes, which Hugging Face's LLaVA can't express: it has features only. " +
        "Export a run with visualInput continuous.",
    );
  }
  const imageTokenId = tokenizer.tokenId(IMAGE_TAG);
  if (imageTokenId === undefined) throw new ConfigError(`the run's text tokenizer has no token ${IMAGE_TAG}`);
  const { encoder } = parts;
  const read = encoder.layerOf(recipe.encoder.selectLayer);
  const config: LlavaConfig = {
    vision: { kind: "siglip", config: { ...encoder.config, head: "none", layers: read + 2 } },
    selection: { layers: [-2], strategy: "full" },
    projector: {},
    language: model.language.config,
    imageTokenId,
  };
  return tidy(() => {
    const weights = new Map<string, Tensor>();
    const add = (prefix: string, own: ReadonlyMap<string, Tensor>) => {
      for (const [name, tensor] of own) weights.set(`${prefix}.${name}`, tensor);
    };
    add("vision_tower", towerWeights(encoder.stateDict(), read, normalisingLayer(encoder.config)));
    add("multi_modal_projector", projectorWeights(model.projector.stateDict()));
    add("language_model", model.language.stateDict());
    const llava = nn.creating({ device: "cpu", dtype: "float32", initialise: false }, () => new Llava(config));
    try {
      return llava.load(weights);
    } catch (error) {
      llava.dispose();
      throw error;
    }
  });
}

function towerWeights(
  encoder: ReadonlyMap<string, Tensor>,
  read: number,
  normalising: ReadonlyMap<string, Tensor>,
): Map<string, Tensor> {
  const kept = [...encoder].filter(([name]) => {
    const [, layer] = /^encoder\.layers\.(\d+)\./.exec(name) ?? [];
    return !name.startsWith("head.") && (layer === undefined || Number(layer) < read);
  });
  const tower = new Map(kept);
  for (const layer of [read, read + 1]) {
    for (const [name, tensor] of normalising) tower.set(`encoder.layers.${layer}.${name}`, tensor);
  }
  return tower;
}

function projectorWeights(projector: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...projector].map(([name, own]) => [name, name === "0.weight" ? own.div(NORMALISED_SCALE) : own]));
}
