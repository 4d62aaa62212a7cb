import { visionName } from "../checkpoints/gguf/vision-names.js";
import { field, type GgufField, type GgufWeight } from "../checkpoints/gguf/write.js";
import { ConfigError } from "../errors.js";
import type { Llava } from "../model/llava.js";
import { fileTypes, type GgufFloat } from "./gguf-language.js";

/** Mean and standard deviation that pixels are normalised with. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * The metadata of tower and projector, llama.cpp's "mmproj". Its GELUs are of the tanh form whatever the model's are: of
 * the exact form the difference is small, and the same for every LLaVA there.
 * @throws ConfigError for what llama.cpp's LLaVA can't do
 */
export function visionFields(
  { config }: Llava,
  { name, type, normalisation }: { name: string; type: GgufFloat; normalisation: Normalisation },
): Map<string, GgufField> {
  const { kind, config: tower } = config.vision;
  const { mean, std } = normalisation;
  requireProjector(config);
  const layers = featureLayers(config);
  const own: Record<string, GgufField> = {
    image_size: field.uint32(tower.imageSize),
    patch_size: field.uint32(tower.patchSize),
    embedding_length: field.uint32(tower.dim),
    feed_forward_length: field.uint32(tower.mlpDim),
    block_count: field.uint32(storedLayers(config)),
    projection_dim: field.uint32(config.language.hiddenSize),
    "attention.head_count": field.uint32(tower.heads),
    "attention.layer_norm_epsilon": field.float32(tower.epsilon ?? (kind === "clip" ? 1e-5 : 1e-6)),
    feature_layer: field.array("int32", layers),
    image_mean: field.array("float32", mean),
    image_std: field.array("float32", std),
  };
  return new Map([
    ["general.architecture", field.string("clip")],
    ["general.type", field.string("mmproj")],
    ["general.name", field.string(name)],
    ["general.file_type", field.uint32(fileTypes[type])],
    ["clip.has_vision_encoder", field.bool(true)],
    ["clip.has_text_encoder", field.bool(false)],
    ["clip.has_llava_projector", field.bool(true)],
    ["clip.projector_type", field.string("mlp")],
    ["clip.use_gelu", field.bool(tower.activation !== "quick-gelu")],
    ...Object.entries(own).map(([key, value]) => [`clip.vision.${key}`, value] as const),
  ]);
}

type Config = Llava["config"];

function requireProjector({ projector, selection, vision }: Config): void {
  if (projector.activation === "quick-gelu" || projector.bias === false) {
    throw new ConfigError('the projector has no bias, or "quick_gelu"; llama.cpp\'s mlp has biases and GELU');
  }
  if ((vision.kind === "clip") !== (selection.strategy === "default")) {
    throw new ConfigError(
      `the features are chosen by "${selection.strategy}" from a ${vision.kind} tower; llama.cpp drops the class token, and that alone`,
    );
  }
}

/** Indices of the hidden states that are read, counted from the first. */
function featureLayers({ vision, selection }: Config): number[] {
  const count = vision.config.layers;
  const layers = selection.layers.map((layer) => (layer < 0 ? count + 1 + layer : layer));
  if (layers.some((layer, index) => index > 0 && layer <= layers[index - 1]!)) {
    throw new ConfigError(
      `the hidden states ${layers.join(", ")} are joined; llama.cpp joins them in ascending order alone`,
    );
  }
  return layers;
}

/** How many layers are stored: those up to the deepest state that is read, and one more, since llama.cpp never runs the last. */
function storedLayers(config: Config): number {
  return Math.min(config.vision.config.layers, Math.max(...featureLayers(config)) + 1);
}

/** Tower and projector under llama.cpp's names. The caller frees them (a `tidy` does). */
export function visionWeights(llava: Llava, type: GgufFloat): Map<string, GgufWeight> {
  const stored = storedLayers(llava.config);
  const weights = new Map<string, GgufWeight>();
  for (const [name, tensor] of llava.stateDict()) {
    const own = visionName(name);
    const layer = Number(/^v\.blk\.(\d+)\./.exec(own ?? "")?.[1] ?? -1);
    if (own === undefined || layer >= stored) continue;
    // Convolution and positions are float32: no backend has all of their operators in bfloat16.
    const isMatrix = tensor.shape.length === 2 && own !== "v.position_embd.weight";
    weights.set(own, { tensor, type: isMatrix ? type : "F32" });
  }
  return weights;
}
