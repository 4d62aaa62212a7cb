import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { CheckpointError, openWeights, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { DualToken } from "../tokenizers/dualtoken.js";
import { convPixelDecoderConfig } from "../tokenizers/dualtoken-hub.js";
import { SiglipTokenizer } from "../tokenizers/siglip-tokenizer.js";
import { layerOf } from "../vision/siglip-encoder.js";
import { fieldAt, readConfig } from "./config-place.js";
import { type LoadOptions, loadModule } from "./load-module.js";
import { type HubTokenizer, pixelDecoder, tokenizerConfig } from "./tokenizer-config.js";
import { codebooksOnly, TokenizerWeights, type TowerSizes } from "./tokenizer-weights.js";

export interface TokenizerOptions extends LoadOptions {
  /** Of a file of `torch.save`: the dict to open, as `openWeights` takes it; by default found by itself. */
  readonly inside?: string;
  /** The release's config.json, where it doesn't lie beside the weights. */
  readonly config?: string;
  /** D, where neither weights nor config.json say it. */
  readonly depth?: number;
  readonly tower?: TowerSizes;
}

export interface DualTokenOptions extends TokenizerOptions {
  /** See `DualTokenConfig`. */
  readonly causal?: boolean;
}

const trunkNames = ["siglip_model.vision_model.embeddings.", "siglip_model.vision_model.encoder."];

/**
 * Loads a published tokenizer as far as semantic codes need it: VILA-U's, DualToken's of either release (codes as wide as
 * the tower, or 32 wide behind a projection). Later layers and the decoder are left in the file. A folder or a file of
 * any kind that `openWeights` reads, `.pt` too; config.json is read where it lies beside the weights. The caller frees it.
 * @throws ConfigError that names file and field; CheckpointError that names the file and lists the weights that don't fit
 */
export function loadVisualTokenizer(path: string, options: TokenizerOptions = {}): SiglipTokenizer {
  return withWeights(path, options, (weights, hub, file) => {
    const isDual = weights.has("quantizer_sem.");
    const own = isDual ? "quantizer_sem" : "quantizer";
    if (!weights.has(`${own}.`)) {
      throw new CheckpointError(`${weights.source}: there are no semantic codes in it: no quantizer, no quantizer_sem`);
    }
    const quantizer = weights.quantizer(own, hub.semantic, options.depth, file);
    const whole = weights.trunk(options.tower ?? {});
    const layer = layerOf(hub.layerSem ?? weights.defaultLayer, whole.layers);
    const projected = weights.has("prequant_sem.");
    const names = [...trunkNames, `${own}.`, "prequant_sem."];
    const renamed = new Map<string, Tensor>();
    for (const [name, tensor] of codebooksOnly(weights.tensors(...names), quantizer.shared)) {
      const [, index] = /encoder\.layers\.(\d+)\./.exec(name) ?? [];
      if (index !== undefined && Number(index) >= layer) continue;
      renamed.set(name.replace(/^(quantizer|prequant)_sem\./, "$1."), tensor);
    }
    const config = { vision: { ...whole, layers: layer }, layer: -1, projected, quantizer };
    return loadModule(() => new SiglipTokenizer(config), { weights: renamed, source: weights.source, options });
  });
}

/**
 * Loads the whole of a DualToken: both kinds of codes, and the decoder. Its config.json, the release's `model_config…`,
 * must lie beside the weights or be named by `config`. The caller frees it.
 * @throws as `loadVisualTokenizer`
 */
export function loadDualToken(path: string, options: DualTokenOptions = {}): DualToken {
  return withWeights(path, options, (weights, hub, file) => {
    if (!weights.has("quantizer_sem.") || !weights.has("quantizer_pix.")) {
      throw new CheckpointError(`${weights.source}: is no DualToken: it lacks quantizer_sem or quantizer_pix`);
    }
    if (hub.layerRecon === undefined) {
      throw new ConfigError(`${fieldAt(hub.place, "layer_recon")} is missing: the layer of the appearance codes`);
    }
    const semantic = weights.quantizer("quantizer_sem", hub.semantic, options.depth, file);
    const appearance = weights.quantizer("quantizer_pix", hub.appearance, options.depth, file);
    const config = {
      vision: { ...weights.trunk(options.tower ?? {}), head: "attention-pooling" as const },
      semantic: {
        layer: hub.layerSem ?? weights.defaultLayer,
        projected: weights.has("prequant_sem."),
        quantizer: semantic,
      },
      appearance: {
        layer: hub.layerRecon,
        shortcut: hub.shortcut,
        quantizer: appearance,
        decoder: convPixelDecoderConfig(pixelDecoder(hub)),
        latentShape: hub.latentShape,
      },
      ...(options.causal !== undefined && { causal: options.causal }),
    };
    const towers = ["siglip_model.vision_model.", "prequant_", "postquant_", "post_quant_conv.", "decoder."];
    const all = new Map([
      ...weights.tensors(...towers),
      ...codebooksOnly(weights.tensors("quantizer_sem."), semantic.shared),
      ...codebooksOnly(weights.tensors("quantizer_pix."), appearance.shared),
    ]);
    return loadModule(() => new DualToken(config), { weights: all, source: weights.source, options });
  });
}

function withWeights<T extends object>(
  path: string,
  { inside, config }: TokenizerOptions,
  body: (weights: TokenizerWeights, hub: HubTokenizer, configFile: string) => T,
): T {
  const file = config ?? join(isFolder(path) ? path : dirname(path), "config.json");
  const json = config !== undefined || existsSync(file) ? readConfig(file) : {};
  const hub = tokenizerConfig(json, file);
  return tidy(() => {
    using opened = openWeights(path, inside === undefined ? {} : { inside });
    return body(new TokenizerWeights(opened), hub, file);
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
