import { type DType, nn, noGrad, setThreads, threads, tidy } from "@asvr/torch";
import { z } from "zod";
import type { Preprocessing } from "../../data/preprocess.js";
import { ConfigError } from "../../errors.js";
import { Llava, type LlavaConfig } from "../../model/llava.js";
import { parseConfig } from "../config-place.js";
import { visionConfig } from "../vision-config.js";
import { type GgufFile, openGguf } from "./file.js";
import { fillFromGguf, requireSameTensors } from "./language-model.js";
import { ggufLlamaConfig } from "./llama-metadata.js";
import { visionName } from "./vision-names.js";

/** How a picture becomes the tower's square: our own key. Without it llama.cpp's way holds, which is LLaVA's: padding. */
export const FIT = "asvr.picture.fit";

const count = z.int().positive();
const channels = z.tuple([z.number(), z.number(), z.number()]);

/** What llama.cpp writes of a LLaVA's tower and projector. */
const schema = z.looseObject({
  "clip.projector_type": z.literal("mlp").default("mlp"),
  "clip.use_gelu": z.boolean().default(false),
  "clip.use_silu": z.literal(false).default(false),
  "clip.vision.image_size": count,
  "clip.vision.patch_size": count,
  "clip.vision.embedding_length": count,
  "clip.vision.feed_forward_length": count,
  "clip.vision.block_count": count,
  "clip.vision.attention.head_count": count,
  "clip.vision.attention.layer_norm_epsilon": z.number().positive(),
  "clip.vision.feature_layer": z.array(z.int().nonnegative()).nonempty().optional(),
  "clip.vision.image_grid_pinpoints": z.undefined().optional(),
  "clip.vision.image_mean": channels,
  "clip.vision.image_std": channels,
  [FIT]: z.enum(["resize", "pad", "crop"]).default("pad"),
});

/**
 * Loads a LLaVA from llama.cpp's two files, and how its pictures become the tower's square. The caller frees the model.
 * @param imageTokenId of the vocabulary, or the first id beyond it
 * @throws ConfigError for another kind of projector, and for what this build can't do
 * @throws CheckpointError for weights that don't fit
 */
export function loadGgufLlava(
  language: string,
  mmproj: string,
  { imageTokenId, ...options }: { imageTokenId: number; device?: string; dtype?: DType },
): { llava: Llava; preprocessing: Preprocessing } {
  using file = openGguf(mmproj);
  using words = openGguf(language);
  const found = parseConfig(schema, Object.fromEntries(file.metadata), { file: mmproj });
  const config: LlavaConfig = { ...visionOf(file, found), language: ggufLlamaConfig(words), imageTokenId };
  const size = found["clip.vision.image_size"];
  const [mean, std] = [found["clip.vision.image_mean"], found["clip.vision.image_std"]];
  const llava = nn.creating({ ...options, initialise: false }, () => new Llava(config));
  const before = threads();
  setThreads(1); // as where a language model is read alone
  try {
    readVision(file, llava, config);
    fillFromGguf(llava.languageModel, language);
    return { llava, preprocessing: { size, mode: found[FIT], mean, std } };
  } catch (error) {
    llava.dispose();
    throw error;
  } finally {
    setThreads(before);
  }
}

/** @throws ConfigError for sizes that the file's tensors contradict: nothing is allocated for a claim */
function visionOf(
  file: GgufFile,
  found: z.infer<typeof schema>,
): Pick<LlavaConfig, "vision" | "selection" | "projector"> {
  const [dim, mlpDim] = [found["clip.vision.embedding_length"], found["clip.vision.feed_forward_length"]];
  const [size, patch, layers] = [
    found["clip.vision.image_size"],
    found["clip.vision.patch_size"],
    found["clip.vision.block_count"],
  ];
  const isClip = file.entries.has("v.class_embd");
  const positions = Math.floor(size / patch) ** 2 + (isClip ? 1 : 0);
  const shapes = ["v.position_embd.weight", "v.blk.0.ffn_up.weight"].map((name) => file.entries.get(name)?.shape);
  const known = [positions, dim, mlpDim, dim].sort().join();
  if (
    shapes
      .flatMap((shape) => shape ?? [])
      .sort()
      .join() !== known ||
    layers > file.entries.size
  ) {
    throw new ConfigError(
      `${file.path}: clip.vision says ${layers} layers of width ${dim} and ${mlpDim} over ${positions} positions, which its tensors don't have`,
    );
  }
  const vision = visionConfig(
    {
      ...{ model_type: isClip ? "clip_vision_model" : "siglip_vision_model", vision_use_head: false },
      ...{
        hidden_size: dim,
        intermediate_size: mlpDim,
        num_hidden_layers: layers,
        image_size: size,
        patch_size: patch,
      },
      num_attention_heads: found["clip.vision.attention.head_count"],
      layer_norm_eps: Math.fround(found["clip.vision.attention.layer_norm_epsilon"]),
      hidden_act: found["clip.use_gelu"] ? "gelu_pytorch_tanh" : "quick_gelu",
    },
    { file: file.path, field: "clip.vision" },
  );
  const states = found["clip.vision.feature_layer"] ?? [layers];
  return { vision, selection: { layers: states, strategy: isClip ? "default" : "full" }, projector: {} };
}

function readVision(file: GgufFile, llava: Llava, { vision }: LlavaConfig): void {
  // Old files have the names of the two matrices the other way round.
  const isSwapped = file.entries.get("v.blk.0.ffn_up.weight")?.shape[0] === vision.config.dim;
  const other = { up: "down", down: "up" } as const;
  const stored = (name: string) => {
    const own = visionName(name);
    return isSwapped ? own?.replace(/ffn_(up|down)/, (_, which: "up" | "down") => `ffn_${other[which]}`) : own;
  };
  noGrad(() =>
    tidy(() => {
      const places = [...llava.stateDict()].filter(([name]) => !name.startsWith("language_model."));
      const named = places.flatMap(([name, { shape }]) => (stored(name) ? [[stored(name)!, shape] as const] : []));
      const unread = [...file.entries].filter(([name]) => name.startsWith("v.post_ln."));
      requireSameTensors(file, new Map([...named, ...unread.map(([name, { shape }]) => [name, shape] as const)]));
      for (const [name, place] of places) {
        const own = stored(name);
        if (own) file.readInto(own, place);
        else place.fill_(name.endsWith("weight") ? 1 : 0); // the last norm, which no feature passes
      }
    }),
  );
}
