import { CheckpointError, type Tensor, type Weights } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import type { ResidualQuantizerConfig } from "../tokenizers/residual-quantizer.js";
import type { SiglipTrunkConfig } from "../vision/siglip.js";
import type { HubQuantizer } from "./tokenizer-config.js";

/** What weights alone don't say of a tower. Default: what they have in the published tower of these sizes. */
export interface TowerSizes {
  readonly heads?: number;
  readonly imageSize?: number;
}

/** Published SigLIP towers by width: their heads. */
const publishedHeads: Readonly<Record<number, number>> = { 768: 12, 1024: 16, 1152: 16 };

const tower = "siglip_model.vision_model.";
const anchor = `${tower}embeddings.patch_embedding.weight`;

/** The weights of a tokenizer's file by the names of its newest release, without what they begin with in the file. */
export class TokenizerWeights {
  readonly source: string;
  readonly #opened: Weights;
  /** Own name to the file's. */
  readonly #names = new Map<string, string>();

  /** @throws CheckpointError when there is no SigLIP tower in the file */
  constructor(opened: Weights) {
    this.#opened = opened;
    this.source = opened.source;
    const found = [...opened.entries.keys()].find((name) => name.endsWith(anchor));
    if (found === undefined) {
      throw new CheckpointError(`${opened.source}: there is no tokenizer in it: no name ends with ${anchor}`);
    }
    const prefix = found.slice(0, -anchor.length);
    for (const name of opened.entries.keys()) {
      if (!name.startsWith(prefix)) continue;
      const own = newName(name.slice(prefix.length));
      const other = this.#names.get(own);
      if (other !== undefined) throw new CheckpointError(`${opened.source}: ${other} and ${name} are both ${own}`);
      this.#names.set(own, name);
    }
  }

  /** Whether a name begins like this. */
  has(beginning: string): boolean {
    return [...this.#names.keys()].some((name) => name.startsWith(beginning));
  }

  /** All weights whose names begin with one of these. */
  tensors(...beginnings: readonly string[]): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    for (const [own, name] of this.#names) {
      if (beginnings.some((beginning) => own.startsWith(beginning))) found.set(own, this.#opened.tensor(name));
    }
    return found;
  }

  /** The tower as its weights have it. @throws CheckpointError, ConfigError for what they don't say */
  trunk({ heads, imageSize }: TowerSizes): SiglipTrunkConfig {
    const [dim, , patchSize] = this.#shape(anchor, 4) as [number, number, number, number];
    const [positions] = this.#shape(`${tower}embeddings.position_embedding.weight`, 2) as [number, number];
    const [mlpDim] = this.#shape(`${tower}encoder.layers.0.mlp.fc1.weight`, 2) as [number, number];
    const layers = this.#count(new RegExp(`^${tower.replaceAll(".", "\\.")}encoder\\.layers\\.(\\d+)\\.`));
    const side = Math.round(Math.sqrt(positions));
    const knownHeads = heads ?? publishedHeads[dim];
    if (knownHeads === undefined) {
      throw new ConfigError(
        `${this.source}: weights don't say how many heads a tower ${dim} wide has, and no published one is: ` +
          `say it, by \`tower: { heads }\``,
      );
    }
    // So400m's 384 pixels are 27 patches of 14, and 6 more.
    const known = patchSize === 14 && side === 27 ? 384 : side * patchSize;
    return {
      dim,
      mlpDim,
      layers,
      heads: knownHeads,
      patchSize,
      imageSize: imageSize ?? known,
      activation: "gelu-tanh",
    };
  }

  /**
   * The layer whose output is quantized, where the configuration doesn't say: the second-last of the tower. A file without
   * the tower's final norm ends with that layer.
   */
  get defaultLayer(): number {
    return this.has(`${tower}post_layernorm.`) ? -2 : -1;
  }

  /**
   * A quantizer as its weights and the configuration have it.
   * @throws CheckpointError when it isn't there; ConfigError when the two don't agree, or don't say the depth
   */
  quantizer(name: string, hub: HubQuantizer, depth: number | undefined, file: string): ResidualQuantizerConfig {
    const first = `${name}.codebooks.0.weight`;
    const [rows, dim] = this.#shape(first, 2) as [number, number];
    const count = this.#count(new RegExp(`^${name}\\.codebooks\\.(\\d+)\\.weight$`));
    const shared = hub.shared_codebook ?? (count === 1 || this.#isOne(name, count));
    const known = depth ?? hub.code_shape?.[2] ?? (count > 1 ? count : undefined);
    if (known === undefined) {
      throw new ConfigError(
        `${this.source}: ${name} has one codebook, which doesn't say how many codes a position has: ` +
          `put its config.json beside it, or say it, by \`depth\``,
      );
    }
    const stated = { n_embed: rows - 1, embed_dim: dim } as const;
    for (const [field, value] of Object.entries(stated) as ["n_embed" | "embed_dim", number][]) {
      if (hub[field] === undefined || hub[field] === value) continue;
      throw new ConfigError(`${file}: ${field} is ${hub[field]}, but ${first} in ${this.source} is (${rows}, ${dim})`);
    }
    if (!shared && count !== known) {
      throw new ConfigError(`${this.source}: ${name} has ${count} codebooks for ${known} codes of a position`);
    }
    return { dim, codebookSize: rows - 1, depth: known, shared };
  }

  /** Of a shared codebook a file may hold D copies: whether these are. */
  #isOne(name: string, count: number): boolean {
    const codebook = (index: number) => this.tensors(`${name}.codebooks.${index}.weight`).values().next().value!;
    const first = codebook(0);
    return Array.from({ length: count }, (_, index) => codebook(index)).every((other) => other.equal(first));
  }

  #shape(own: string, dimensions: number): readonly number[] {
    const name = this.#names.get(own);
    const shape = name === undefined ? undefined : this.#opened.entries.get(name)!.shape;
    if (shape?.length === dimensions) return shape;
    throw new CheckpointError(
      `${this.source}: ${own} is ${shape ? `(${shape.join(", ")})` : "missing"}: expected ${dimensions} dimensions`,
    );
  }

  /** How many numbers a pattern finds in the names. */
  #count(pattern: RegExp): number {
    return new Set([...this.#names.keys()].map((name) => pattern.exec(name)?.[1]).filter(Boolean)).size;
  }
}

/** The first release's names were longer: `quantizer_semantic` is `quantizer_sem`. */
function newName(name: string): string {
  return name
    .replace(/^(prequant|quantizer|postquant)_semantic\./, "$1_sem.")
    .replace(/^(prequant|quantizer|postquant)_pixel\./, "$1_pix.");
}

/** The codebooks' weights without the running averages of training, and one of equal copies. */
export function codebooksOnly(weights: Map<string, Tensor>, shared: boolean): Map<string, Tensor> {
  const isCopy = (name: string) => shared && /\.codebooks\.[1-9]\d*\./.test(name);
  return new Map([...weights].filter(([name]) => !/_ema$/.test(name) && !isCopy(name)));
}
