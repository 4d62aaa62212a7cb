import { noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import { question as asked } from "../chat/answer-all.js";
import { type ChatModel, type ChatPrompt, embedPrompt } from "../chat/chat-model.js";
import type { VisualGrid } from "../chat/visual-grid.js";
import type { RgbImage } from "../data/images.js";
import { ConfigError } from "../errors.js";
import { likeliestOf, nonFiniteLogits } from "../language/decoding/finite-logits.js";
import { KeyValueCache } from "../language/llama.js";

/** Layers or heads by number, from 0; "mean": all of them. */
export type Chosen = "mean" | readonly number[];

/** What one token gives to the patches of a picture, of all that it attends to: softmax(q kᵀ / √headDim). */
export class PictureAttention {
  /** @param values (layers, heads, cells) */
  constructor(
    readonly layers: number,
    readonly heads: number,
    readonly cells: number,
    readonly values: Float32Array,
  ) {}

  /**
   * The mean over layers and heads, a number a cell; in sum at most 1, the share of attention that is on the picture.
   * @throws ConfigError when there is no such layer or head
   */
  mean(layers: Chosen = "mean", heads: Chosen = "mean"): number[] {
    const rows = numbersOf("layer", layers, this.layers).flatMap((layer) =>
      numbersOf("head", heads, this.heads).map((head) => (layer * this.heads + head) * this.cells),
    );
    return Array.from(
      { length: this.cells },
      (_, cell) => rows.reduce((sum, row) => sum + this.values[row + cell]!, 0) / rows.length,
    );
  }

  /** The mean over heads of each layer. */
  byLayer(heads: Chosen = "mean"): number[][] {
    return Array.from({ length: this.layers }, (_, layer) => this.mean([layer], heads));
  }
}

function numbersOf(what: "layer" | "head", chosen: Chosen, count: number): number[] {
  if (chosen === "mean") return Array.from({ length: count }, (_, number) => number);
  const wrong = chosen.find((number) => !Number.isInteger(number) || number < 0 || number >= count);
  if (wrong !== undefined || chosen.length === 0) {
    throw new ConfigError(`attention: there is no ${what} ${wrong ?? "named"}: the model's are 0 to ${count - 1}`);
  }
  return [...chosen];
}

/** A greedy answer, and where its model looked. */
export interface AttendedAnswer {
  readonly answer: string;
  readonly grid: VisualGrid;
  /** Of the prompt's last token, which the answer's first token is read from. */
  readonly before: PictureAttention;
  /** Of the answer's last token; of an empty answer the same as `before`. */
  readonly after: PictureAttention;
}

/**
 * Asks a model about a picture and keeps the attention to it (paper Figures 3 and 4). All but the tokens that are
 * looked at pass the fused kernel. What a model attends to is not the reason for its answer; it is what it had at hand.
 * @throws DataError for a model that reads no pictures
 */
export function attendToPicture(
  model: ChatModel,
  picture: RgbImage,
  question: string,
  { maxNewTokens }: { maxNewTokens: number },
): AttendedAnswer {
  const { language, stopIds, contextLength } = model;
  const prompt = model.prompt([asked(question, [picture])]);
  const grid = model.grid(picture);
  const count = grid.rows * grid.columns;
  const start = firstCell(prompt, model.imageTokenId) + grid.first;
  return noGrad(() =>
    tidy(() => {
      const embedded = embedPrompt(model, prompt, [model.see(picture)]);
      const { device } = embedded;
      const last = embedded.size(1) - 1;
      using cache = new KeyValueCache();
      const readout = tensor([[last - 1]], { device }).to("int64");
      tidy(() => language.model.forward(embedded.narrow(1, 0, last), { cache, readout }));

      /** One more token, (1, 1, hiddenSize): what it attends to, and which token comes after it. */
      const step = (input: Tensor, position: number) =>
        tidy(() => {
          const { numHiddenLayers: layers, numAttentionHeads: heads } = language.config;
          const values = new Float32Array(layers * heads * count);
          const observe = (layer: number, weights: Tensor) => {
            const cells = cellsOf(weights.select(2, -1).select(0, 0).to("float32"), start, count, grid.first);
            values.set(cells, layer * heads * count);
          };
          const positions = tensor([[position]], { device }).to("int64");
          const states = language.model.forward(input, { cache, positions, observe });
          const { ids, areNumbers } = likeliestOf(language.logits(states).flatten());
          if (!areNumbers[0]) throw nonFiniteLogits(language, undefined);
          return { attention: new PictureAttention(layers, heads, count, values), next: ids[0]! };
        });

      let seen = step(embedded.narrow(1, last, 1), last);
      const before = seen.attention;
      const ids: number[] = [];
      while (ids.length < maxNewTokens && last + ids.length + 1 < contextLength && !stopIds.includes(seen.next)) {
        ids.push(seen.next);
        const input = tidy(() => language.embed(tensor([[ids.at(-1)!]], { device }).to("int64")));
        seen = step(input, last + ids.length);
      }
      const answer = model.tokenizer.decode(ids, { skipSpecialTokens: true }).trim();
      return { answer, grid, before, after: seen.attention };
    }),
  );
}

function firstCell({ inputIds }: ChatPrompt, imageTokenId: number): number {
  return inputIds.indexOf(imageTokenId);
}

/** The columns of the cells, zeros for those without a token. weights (heads, keys) -> heads · cells numbers */
function cellsOf(weights: Tensor, start: number, count: number, first: number): number[] {
  const missing = Math.max(0, -first);
  const read = weights.narrow(1, start + missing, count - missing);
  return (missing === 0 ? read : read.constantPadNd([missing, 0])).flatten().toNumbers();
}
