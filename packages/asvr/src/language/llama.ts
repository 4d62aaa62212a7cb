import { type DType, F, keep, nn, type Tensor, tidy } from "@asvr/torch";
import { ConfigError } from "../errors.js";
import { type RopeScaling, type RotaryAngles, rotaryAngles, rotaryFrequencies, rotate } from "./rotary.js";

/** Sizes of a Llama-family model (Vicuna, Mistral, Qwen2), named as in Hugging Face's config.json, in camelCase. */
export interface LlamaConfig {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  numKeyValueHeads: number;
  ropeTheta: number;
  rmsNormEps: number;
  tieWordEmbeddings: boolean;
  /** Qwen2: query, key and value projections have a bias. */
  attentionBias: boolean;
  /** Tokens of the longest text that the model was made for; not enforced here. */
  maxPositionEmbeddings?: number;
  /** Width of a head; default hiddenSize / numAttentionHeads. */
  headDim?: number;
  /** Default: rotary frequencies as they are. */
  ropeScaling?: RopeScaling;
  /**
   * Mistral's sliding windows, one a layer: how many positions a token sees, its own included; null: all before it.
   * Default: all, in every layer.
   */
  slidingWindows?: readonly (number | null)[];
}

/** Keys and values of the tokens seen so far, a pair a layer: (batch, kvHeads, tokens, headDim). Owns them. */
export class KeyValueCache {
  readonly #layers: { key: Tensor; value: Tensor }[] = [];
  #positions: Tensor | undefined;

  /** Appends to a layer and returns all its keys and values, which stay the cache's. */
  extend(layer: number, key: Tensor, value: Tensor): { key: Tensor; value: Tensor } {
    const before = this.#layers[layer];
    const join = (old: Tensor | undefined, added: Tensor) => keep(old ? F.cat([old, added], 2) : added.contiguous());
    const joined = { key: join(before?.key, key), value: join(before?.value, value) };
    this.#layers[layer] = joined;
    before?.key.dispose();
    before?.value.dispose();
    return joined;
  }

  /** Appends positions (batch, tokens) and returns those of all keys, which stay the cache's. Sliding windows need them. */
  extendPositions(positions: Tensor): Tensor {
    const before = this.#positions;
    this.#positions = keep(before ? F.cat([before, positions], 1) : positions.clone());
    before?.dispose();
    return this.#positions;
  }

  [Symbol.dispose](): void {
    for (const { key, value } of this.#layers.splice(0)) {
      key.dispose();
      value.dispose();
    }
    this.#positions?.dispose();
    this.#positions = undefined;
  }
}

/** Attention among tokens of several sequences that lie one after another, their keys and values kept elsewhere. */
export interface SequenceAttention {
  /** Of all tokens, (1, tokens, 1, headDim). */
  readonly angles: RotaryAngles;
  /**
   * Takes the new keys and values in, and mixes the values.
   * @param query (1, heads, tokens, headDim), or, of the last layer, that of the readout's columns alone
   * @param key (1, kvHeads, tokens, headDim), as `value`
   * @returns query's shape
   */
  attend(layer: number, query: Tensor, key: Tensor, value: Tensor): Tensor;
}

/** What a forward pass needs besides embeddings. Nothing given: plain causal attention. */
export interface LlamaContext {
  /** int64 (batch, tokens); default 0 … tokens-1 in every row. */
  positions?: Tensor;
  /** bool (batch, 1, tokens, cached + tokens): true where a token may look. */
  mask?: Tensor;
  cache?: KeyValueCache;
  /**
   * int64 (batch, count): the columns whose hidden states are wanted, if not all are. The last layer then computes no
   * others: a training step reads only those that predict something, a prompt's answer begins at its last token.
   */
  readout?: Tensor;
  /** In place of positions, mask and cache. */
  sequences?: SequenceAttention;
  /** Is shown every layer's attention weights, float32 (batch, heads, tokens, cached + tokens). Slower: they are made for it. */
  observe?: (layer: number, weights: Tensor) => void;
}

interface LayerContext extends LlamaContext {
  layer: number;
  angles: RotaryAngles;
  /** The angles of the columns that `readout` names. */
  queryAngles: RotaryAngles;
}

/** The rows of `x` that `columns` name. (batch, tokens, …), int64 (batch, count) -> (batch, count, …) */
function takeColumns(x: Tensor, columns: Tensor): Tensor {
  const [batch, tokens, ...rest] = x.shape as [number, number, ...number[]];
  const offsets = F.arange(0, batch, 1, "int64", x.device).mul(tokens).unsqueeze(1);
  return x
    .reshape([batch * tokens, ...rest])
    .indexSelect(0, columns.add(offsets).flatten())
    .view([batch, columns.size(1), ...rest]);
}

function anglesRead(angles: RotaryAngles, readout: Tensor | undefined) {
  if (!readout) return { angles, queryAngles: angles };
  const { cos, signedSin } = angles;
  return { angles, queryAngles: { cos: takeColumns(cos, readout), signedSin: takeColumns(signedSin, readout) } };
}

/** Width of a head. @throws ConfigError for sizes that don't go together */
export function headDimOf({
  hiddenSize,
  numAttentionHeads: heads,
  numKeyValueHeads: kvHeads,
  headDim,
}: LlamaConfig): number {
  if ((headDim === undefined && hiddenSize % heads !== 0) || heads % kvHeads !== 0) {
    throw new ConfigError(
      `attention: hiddenSize ${hiddenSize} must be a multiple of ${heads} heads, and these of ${kvHeads} key/value heads`,
    );
  }
  const dim = headDim ?? hiddenSize / heads;
  if (dim % 2 !== 0) throw new ConfigError(`attention: a head's width of ${dim} is odd, but it turns in pairs`);
  return dim;
}

/** Causal self-attention with grouped key/value heads. */
export class LlamaAttention extends nn.Module {
  readonly qkvProj: nn.FusedLinear;
  readonly oProj: nn.Linear;
  readonly headDim: number;

  constructor(readonly config: LlamaConfig) {
    super();
    const { hiddenSize, numAttentionHeads: heads, numKeyValueHeads: kvHeads, attentionBias } = config;
    this.headDim = headDimOf(config);
    const [querySize, kvSize] = [heads * this.headDim, kvHeads * this.headDim];
    this.qkvProj = new nn.FusedLinear(
      hiddenSize,
      { q_proj: querySize, k_proj: kvSize, v_proj: kvSize },
      { bias: attentionBias },
    );
    this.oProj = new nn.Linear(querySize, hiddenSize, { bias: false });
  }

  protected override get stateNames() {
    return { qkvProj: "" };
  }

  /** hiddenStates (batch, tokens, dim) -> same, or (batch, count, dim) for a readout of `count` columns */
  forward(hiddenStates: Tensor, context: LayerContext): Tensor {
    const { layer, readout, cache, observe, sequences } = context;
    const { query, key: newKey, value: newValue } = this.#project(hiddenStates, context);
    if (sequences) return this.oProj.forward(nn.mergeHeads(sequences.attend(layer, query, newKey, newValue)));
    const { key, value } = cache ? cache.extend(layer, newKey, newValue) : { key: newKey, value: newValue };
    const [tokens, keys] = [hiddenStates.size(1), key.size(2)];
    const causal = context.mask === undefined && !readout && tokens > 1 && keys === tokens;
    const mask = causal ? undefined : maskOf(context, tokens, keys, key.device);
    if (observe) observe(layer, attentionWeights(query, key, mask, causal));
    return this.oProj.forward(nn.mergeHeads(nn.attend(query, key, value, { mask, causal })));
  }

  /** Queries (of the readout's columns alone), keys and values, turned by their positions: (batch, heads, tokens, headDim) */
  #project(hiddenStates: Tensor, { angles, queryAngles, readout }: LayerContext) {
    const { numAttentionHeads: heads, numKeyValueHeads: kvHeads } = this.config;
    const split = (x: Tensor, count: number) => x.view([x.size(0), x.size(1), count, this.headDim]);
    if (!readout) {
      const all = split(this.qkvProj.forwardWhole(hiddenStates), heads + 2 * kvHeads);
      // Queries and keys turn together, as one tensor.
      const turned = rotate(all.narrow(2, 0, heads + kvHeads), angles).transpose(1, 2);
      const value = all.narrow(2, heads + kvHeads, kvHeads).transpose(1, 2);
      return { query: turned.narrow(1, 0, heads), key: turned.narrow(1, heads, kvHeads), value };
    }
    const queries = split(this.qkvProj.forwardPart(takeColumns(hiddenStates, readout), "q_proj"), heads);
    const keysAndValues = split(this.qkvProj.forwardPart(hiddenStates, "k_proj", "v_proj"), 2 * kvHeads);
    const [keys, values] = keysAndValues.chunk(2, 2) as [Tensor, Tensor];
    return {
      query: rotate(queries, queryAngles).transpose(1, 2),
      key: rotate(keys, angles).transpose(1, 2),
      value: values.transpose(1, 2),
    };
  }
}

/**
 * What the queries see, bool (batch, 1, queries, keys): those of the readout's columns, or of all new tokens. `tokens`
 * of the keys are new, the others cached. Without a mask a token sees what is not later.
 */
function maskOf({ readout, mask }: LlamaContext, tokens: number, keys: number, device: string): Tensor | undefined {
  if (mask) {
    if (!readout) return mask;
    const [batch, count] = readout.shape as [number, number];
    return mask.gather(2, readout.view([batch, 1, count, 1]).expand([-1, -1, -1, keys]));
  }
  if (tokens === 1) return undefined; // the newest token sees all
  const columns = readout ?? F.arange(0, tokens, 1, "int64", device).unsqueeze(0);
  return F.arange(0, keys, 1, "int64", device)
    .le(columns.add(keys - tokens).unsqueeze(-1))
    .unsqueeze(1);
}

/**
 * A token sees another where `mask` lets it (default: what is not later) and less than `window` positions lie between.
 * @param positions int64 (batch, tokens), of the queries: the last of the keys, whose are (batch, keys)
 * @returns bool (batch, 1, tokens, keys)
 */
function slidingMask(positions: Tensor, keyPositions: Tensor, window: number, mask: Tensor | undefined): Tensor {
  return tidy(() => {
    const [tokens, keys] = [positions.size(1), keyPositions.size(1)];
    const visible = mask ?? F.ones([tokens, keys], "bool", positions.device).tril(keys - tokens);
    const near = positions.unsqueeze(2).sub(keyPositions.unsqueeze(1)).lt(window);
    return near.unsqueeze(1).logicalAnd(visible);
  });
}

/** The weights that the fused kernel doesn't show: softmax(q kᵀ / sqrt(headDim)), float32 (batch, heads, queries, keys). */
function attentionWeights(query: Tensor, key: Tensor, mask: Tensor | undefined, causal: boolean): Tensor {
  return tidy(() => {
    const repeated = key.to("float32").repeatInterleave(query.size(1) / key.size(1), 1);
    const scores = query
      .to("float32")
      .matmul(repeated.transpose(2, 3))
      .mul(query.size(-1) ** -0.5);
    const [queries, keys] = scores.shape.slice(2) as [number, number];
    const allowed = mask ?? (causal ? F.ones([queries, keys], "bool", scores.device).tril(keys - queries) : undefined);
    return (allowed ? scores.maskedFill(allowed.logicalNot(), Number.NEGATIVE_INFINITY) : scores).softmax(-1);
  });
}

/** down(silu(gate(x)) · up(x)) */
export class LlamaMlp extends nn.Module {
  readonly gateUpProj: nn.FusedLinear;
  readonly downProj: nn.Linear;

  constructor({ hiddenSize, intermediateSize }: LlamaConfig) {
    super();
    const sizes = { gate_proj: intermediateSize, up_proj: intermediateSize };
    this.gateUpProj = new nn.FusedLinear(hiddenSize, sizes, { bias: false });
    this.downProj = new nn.Linear(intermediateSize, hiddenSize, { bias: false });
  }

  protected override get stateNames() {
    return { gateUpProj: "" };
  }

  forward(x: Tensor): Tensor {
    const [gate, up] = this.gateUpProj.forward(x) as [Tensor, Tensor];
    return this.downProj.forward(gate.silu().mul(up));
  }
}

export class LlamaLayer extends nn.Module {
  readonly selfAttn: LlamaAttention;
  readonly mlp: LlamaMlp;
  readonly inputLayernorm: nn.RMSNorm;
  readonly postAttentionLayernorm: nn.RMSNorm;

  constructor(config: LlamaConfig) {
    super();
    this.selfAttn = new LlamaAttention(config);
    this.mlp = new LlamaMlp(config);
    this.inputLayernorm = new nn.RMSNorm(config.hiddenSize, config.rmsNormEps);
    this.postAttentionLayernorm = new nn.RMSNorm(config.hiddenSize, config.rmsNormEps);
  }

  forward(x: Tensor, context: LayerContext): Tensor {
    const read = context.readout ? takeColumns(x, context.readout) : x;
    const attended = read.add(this.selfAttn.forward(this.inputLayernorm.forward(x), context));
    return attended.add(this.mlp.forward(this.postAttentionLayernorm.forward(attended)));
  }
}

/** Embeddings, layers, final norm. Checkpoint names: `embed_tokens`, `layers.N`, `norm`. */
export class LlamaModel extends nn.Module {
  readonly embedTokens: nn.Embedding;
  readonly layers: LlamaLayer[];
  readonly norm: nn.RMSNorm;
  readonly #headDim: number;

  /** @throws ConfigError for sizes that don't go together */
  constructor(readonly config: LlamaConfig) {
    super();
    this.#headDim = headDimOf(config);
    const { slidingWindows, numHiddenLayers } = config;
    if (slidingWindows && slidingWindows.length !== numHiddenLayers) {
      throw new ConfigError(`slidingWindows has ${slidingWindows.length} entries for ${numHiddenLayers} layers`);
    }
    this.embedTokens = new nn.Embedding(config.vocabSize, config.hiddenSize, { standardDeviation: 0.02 });
    this.layers = Array.from({ length: config.numHiddenLayers }, () => new LlamaLayer(config));
    this.norm = new nn.RMSNorm(config.hiddenSize, config.rmsNormEps);
  }

  /**
   * @param embeddings (batch, tokens, hiddenSize), from `embedTokens` or from a projector
   * @returns the last hidden states after the final norm, (batch, tokens, hiddenSize), or those of `context.readout`
   */
  forward(embeddings: Tensor, context: LlamaContext = {}): Tensor {
    const states = this.hiddenStates(embeddings, context);
    return states[states.length - 1]!;
  }

  /** As Hugging Face's `hidden_states`: embeddings, the outputs of all layers but the last, and the normed last one. */
  hiddenStates(embeddings: Tensor, context: LlamaContext = {}): Tensor[] {
    const { readout, ...shared } = context;
    const [batch, tokens] = embeddings.shape as [number, number, number];
    const positions = context.positions ?? F.arange(0, tokens, 1, "int64", embeddings.device).unsqueeze(0);
    const rows = positions.expand([batch, -1]);
    const { angles, queryAngles } = context.sequences
      ? anglesRead(context.sequences.angles, readout)
      : this.#angles(positions, readout && rows.gather(1, readout), embeddings.dtype);
    const masks = context.sequences ? [] : this.#masks(context, rows);
    const states = [embeddings];
    for (const [layer, module] of this.layers.entries()) {
      const input = states[states.length - 1]!;
      const isLast = layer === this.layers.length - 1;
      const own = { layer, angles, queryAngles, mask: masks[layer], ...(isLast && { readout }) };
      // A scope a layer: what backward needs stays alive in libtorch, the rest is freed at once.
      states.push(tidy(() => module.forward(input, { ...shared, ...own })));
    }
    states.push(this.norm.forward(states.pop()!));
    return states;
  }

  /** Of all tokens, and of those that the last layer reads. */
  #angles(positions: Tensor, read: Tensor | undefined, dtype: DType) {
    const { ropeTheta, ropeScaling } = this.config;
    const frequencies = rotaryFrequencies(positions, this.#headDim, ropeTheta, ropeScaling);
    const angles = rotaryAngles(positions, frequencies, dtype);
    return { angles, queryAngles: read ? rotaryAngles(read, frequencies, dtype) : angles };
  }

  /** What the tokens see, by layer: the context's mask, narrowed to the layer's window. positions (batch, tokens) */
  #masks({ mask, cache }: LlamaContext, positions: Tensor): (Tensor | undefined)[] {
    const windows = this.config.slidingWindows ?? this.layers.map(() => null);
    if (windows.every((window) => window === null)) return windows.map(() => mask);
    const keyPositions = cache ? cache.extendPositions(positions) : positions;
    const narrowed = new Map(
      windows.flatMap((window) =>
        window === null ? [] : [[window, slidingMask(positions, keyPositions, window, mask)]],
      ),
    );
    return windows.map((window) => (window === null ? mask : narrowed.get(window)));
  }
}

/** A language model: `model` and an output matrix, which may be the embedding's. */
export class LlamaForCausalLM extends nn.Module {
  readonly model: LlamaModel;
  readonly lmHead: nn.Linear | null;

  constructor(readonly config: LlamaConfig) {
    super();
    this.model = new LlamaModel(config);
    this.lmHead = config.tieWordEmbeddings ? null : new nn.Linear(config.hiddenSize, config.vocabSize, { bias: false });
  }

  /** int64 (…) -> (…, hiddenSize) */
  embed(inputIds: Tensor): Tensor {
    return this.model.embedTokens.forward(inputIds);
  }

  /** hiddenStates (…, hiddenSize) -> logits (…, vocabSize) */
  logits(hiddenStates: Tensor): Tensor {
    return F.linear(hiddenStates, this.lmHead?.weight ?? this.model.embedTokens.weight);
  }
}
