import { nn, noGrad, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { type SiglipVisionConfig, type SiglipVisionOutput, SiglipVisionTower } from "../vision/siglip.js";
import { ConvPixelDecoder, type ConvPixelDecoderConfig } from "./conv-pixel-decoder.js";
import { AttentionProjection, QuantResnetBlock } from "./quant-blocks.js";
import { QuantizedFeatures } from "./quantized-features.js";
import { type Quantization, ResidualQuantizer, type ResidualQuantizerConfig } from "./residual-quantizer.js";
import type { VisualTokenizer } from "./visual-tokenizer.js";

export interface DualTokenConfig {
  readonly vision: SiglipVisionConfig;
  readonly semantic: {
    /** layer_sem: index of the hidden state that is quantized, and then replaced by what its codes say. */
    readonly layer: number;
    /** Whether features are brought to the code dimension first; in the first release, 1152 wide, they are not. */
    readonly projected: boolean;
    readonly quantizer: ResidualQuantizerConfig;
  };
  readonly appearance: {
    /** layer_recon: index of an early hidden state. */
    readonly layer: number;
    /** An even earlier hidden state, added with this weight (layer_shortcut, weight_shortcut). */
    readonly shortcut: { readonly layer: number; readonly weight: number } | null;
    readonly quantizer: ResidualQuantizerConfig;
    readonly decoder: ConvPixelDecoderConfig;
    /** decoder_latent_shape: rows and columns that the decoder starts from; null: those of the patches. */
    readonly latentShape: readonly [number, number] | null;
  };
  /** Whether position i sees positions up to i in the projections after the quantizers; default true, as released. */
  readonly causal?: boolean;
}

export interface DualTokenOutput {
  readonly semantic: Quantization;
  readonly appearance: Quantization;
  /** (batch, positions, dim): the quantized hidden state, which goes on through the tower. */
  readonly semanticState: Tensor;
  /** What the rest of the tower makes of it. */
  readonly vision: SiglipVisionOutput;
}

/**
 * DualToken's tokenizer (Song et al., 2025): a SigLIP tower with two residual quantizers, of a late hidden state
 * (semantic) and of an early one (appearance), and a decoder that paints the picture again from the appearance codes.
 * The text tower of its checkpoints is no part of it: `SiglipTextTower` loads that.
 */
export class DualToken extends nn.Module {
  readonly visionModel: SiglipVisionTower;
  readonly prequantSem: AttentionProjection | null;
  readonly quantizerSem: ResidualQuantizer;
  readonly postquantSem: AttentionProjection;
  readonly prequantPix: AttentionProjection;
  readonly prequantShortcut: AttentionProjection | null;
  readonly quantizerPix: ResidualQuantizer;
  readonly postquantPix: AttentionProjection;
  readonly postQuantConv: QuantResnetBlock;
  readonly decoder: ConvPixelDecoder;

  /** @throws ConfigError for layers that the tower doesn't have, and widths that don't go together */
  constructor(readonly config: DualTokenConfig) {
    super();
    const { vision, semantic, appearance, causal = true } = config;
    const [codeDim, pixelDim] = [semantic.quantizer.dim, appearance.quantizer.dim];
    if (!semantic.projected && codeDim !== vision.dim) {
      throw new ConfigError(
        `DualToken: semantic codes are ${codeDim} wide, the tower ${vision.dim}: without a projection they must be equal`,
      );
    }
    const down = (outDim: number) => new AttentionProjection({ inDim: vision.dim, outDim, causal: false });
    const up = (inDim: number) => new AttentionProjection({ inDim, outDim: vision.dim, causal });
    this.visionModel = new SiglipVisionTower(vision);
    this.prequantSem = semantic.projected ? down(codeDim) : null;
    this.quantizerSem = new ResidualQuantizer(semantic.quantizer);
    this.postquantSem = up(codeDim);
    this.prequantPix = down(pixelDim);
    this.prequantShortcut = appearance.shortcut && down(pixelDim);
    this.quantizerPix = new ResidualQuantizer(appearance.quantizer);
    this.postquantPix = up(pixelDim);
    this.postQuantConv = new QuantResnetBlock(vision.dim, appearance.decoder.inChannels);
    this.decoder = new ConvPixelDecoder(appearance.decoder);
    for (const layer of [semantic.layer, appearance.layer, appearance.shortcut?.layer ?? 0]) {
      this.visionModel.layerOf(layer);
    }
  }

  protected override get stateNames(): Readonly<Record<string, string>> {
    return { visionModel: "siglip_model.vision_model" };
  }

  /** Semantic codes: what ASVR reconstructs. A view of this module, which stays the owner. */
  get semantic(): VisualTokenizer {
    return new QuantizedFeatures(this.quantizerSem, (pixelValues) => this.#semanticFeatures(this.#states(pixelValues)));
  }

  /** Appearance codes, likewise. */
  get appearance(): VisualTokenizer {
    return new QuantizedFeatures(this.quantizerPix, (pixelValues) => this.#pixelFeatures(this.#states(pixelValues)));
  }

  /**
   * Everything but the reconstruction; gradients go straight through the quantizers. Codebooks stay as they are.
   * @param pixelValues (batch, 3, imageSize, imageSize)
   */
  forward(pixelValues: Tensor): DualTokenOutput {
    const states = this.#states(pixelValues);
    const semantic = this.quantizerSem.encode(this.#semanticFeatures(states));
    const appearance = this.quantizerPix.encode(this.#pixelFeatures(states));
    const semanticState = this.postquantSem.forward(semantic.quantized);
    const vision = this.visionModel.forwardFrom(semanticState, this.config.semantic.layer);
    return { semantic, appearance, semanticState, vision };
  }

  /**
   * Paints what quantized appearance features say.
   * @param quantized (batch, positions, pixelDim), of a square of positions
   * @returns (batch, 3, height, width), about in [-1, 1]
   */
  decode(quantized: Tensor): Tensor {
    return tidy(() => {
      const [batch, positions] = quantized.shape as [number, number];
      const side = Math.round(Math.sqrt(positions));
      const widened = this.postquantPix.forward(quantized).transpose(1, 2); // (batch, dim, positions)
      const grid = widened.reshape([batch, widened.size(1), side, side]);
      const { latentShape } = this.config.appearance;
      const latents = latentShape ? grid.upsampleBilinear2d(latentShape, false) : grid;
      return this.decoder.forward(this.postQuantConv.forward(latents));
    });
  }

  /** The picture that appearance codes describe. codes (batch, positions, D), int64 -> as `decode` */
  reconstruct(codes: Tensor): Tensor {
    return noGrad(() =>
      tidy(() => this.decode(this.quantizerPix.lookup(codes).select(-2, -1).to(this.postquantPix.proj.weight.dtype))),
    );
  }

  /** Hidden states as far as codes are made of them. */
  #states(pixelValues: Tensor): Tensor[] {
    const { semantic, appearance } = this.config;
    const layers = [semantic.layer, appearance.layer, appearance.shortcut?.layer ?? 0];
    const last = Math.max(...layers.map((layer) => this.visionModel.layerOf(layer)));
    return this.visionModel.hiddenStates(pixelValues, last);
  }

  #semanticFeatures(states: readonly Tensor[]): Tensor {
    const hiddenState = states[this.visionModel.layerOf(this.config.semantic.layer)]!;
    return this.prequantSem?.forward(hiddenState) ?? hiddenState;
  }

  #pixelFeatures(states: readonly Tensor[]): Tensor {
    const { layer, shortcut } = this.config.appearance;
    const features = this.prequantPix.forward(states[this.visionModel.layerOf(layer)]!);
    if (!shortcut || !this.prequantShortcut) return features;
    const early = this.prequantShortcut.forward(states[this.visionModel.layerOf(shortcut.layer)]!);
    return features.add(early, shortcut.weight);
  }
}
