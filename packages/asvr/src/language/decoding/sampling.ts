import type { Tensor } from "@asvr/torch";
import { ConfigError } from "../../errors.js";
import { Random } from "../../random.js";

/** How a token is chosen. Nothing given: the likeliest. */
export interface SamplingOptions {
  /** 0: the likeliest token; 1: as the model says; higher: more evenly. Default 0. */
  readonly temperature?: number;
  /** The likeliest tokens whose probabilities sum to it are drawn from; 0: the likeliest alone; default 1: all. */
  readonly topP?: number;
  /** The likeliest so many are drawn from; default: all. */
  readonly topK?: number;
  /** Token i of an answer is drawn with the numbers of (seed, i), whatever else is in the batch. Default 0. */
  readonly seed?: number;
}

/** @throws ConfigError for values that say nothing */
export function checkSampling({ temperature = 0, topP = 1, topK = 1, seed = 0 }: SamplingOptions): void {
  const refuse = (name: string, value: number, must: string) => {
    throw new ConfigError(`${name} is ${value}; it must be ${must}`);
  };
  if (!(temperature >= 0 && temperature <= 100)) refuse("temperature", temperature, "from 0 to 100");
  if (!(topP >= 0 && topP <= 1)) refuse("topP", topP, "from 0 to 1");
  if (!(Number.isInteger(topK) && topK >= 1)) refuse("topK", topK, "a whole number, 1 or more");
  if (!Number.isSafeInteger(seed)) refuse("seed", seed, "a whole number");
}

/**
 * Draws a token. Temperature comes first, then topK, then topP over what is left, as in Hugging Face's library.
 * @param logits float32 (vocabSize)
 * @param index of the token in its answer
 */
export function drawToken(logits: Tensor, options: SamplingOptions, index: number): number {
  const { temperature = 0, topP = 1, topK, seed = 0 } = options;
  if (temperature === 0) return logits.argmax(-1).item();
  const scaled = logits.div(temperature);
  const draw = new Random(seed).fork(index).uniform();
  if (topP === 1 && topK === undefined) return drawFromAll(scaled, draw);
  const { weights, ids } = likeliest(scaled, topP, topK);
  return ids[drawFrom(weights, draw)]!;
}

/** The first token up to which the probabilities exceed `draw`. A vocabulary is too long for a loop here. */
function drawFromAll(scaled: Tensor, draw: number): number {
  const reached = scaled.to("float64").softmax(-1).cumsum(-1);
  const index = reached.le(draw).sum().item();
  return index < scaled.size(0) ? index : scaled.argmax(-1).item(); // where rounding left a rest
}

/** The tokens that may be drawn, likeliest first. */
function likeliest(scaled: Tensor, topP: number, topK: number | undefined) {
  const vocabulary = scaled.size(0);
  const most = Math.min(topK ?? vocabulary, vocabulary);
  for (let count = Math.min(most, topK ?? 64); ; count = Math.min(most, count * 16)) {
    const [values, indices] = scaled.topk(count) as [Tensor, Tensor];
    const shifted = values.toNumbers();
    const highest = shifted[0]!;
    const weights = exponentials(shifted.map((value) => value - highest));
    const total = topK === undefined ? Math.exp(scaled.logsumexp([0]).item() - highest) : sum(weights);
    const kept = countUpTo(weights, topP * total);
    if (kept < count || count === most) return { weights: weights.slice(0, kept), ids: indices.toNumbers() };
  }
}

/** How many of the weights it takes for their sum to reach `wanted`; all where they don't. */
function countUpTo(weights: readonly number[], wanted: number): number {
  let reached = 0;
  for (const [index, weight] of weights.entries()) {
    reached += weight;
    if (reached >= wanted) return index + 1;
  }
  return weights.length;
}

/** @param draw in [0, 1) */
function drawFrom(weights: readonly number[], draw: number): number {
  let left = draw * sum(weights);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return index;
  }
  return weights.findLastIndex((weight) => weight > 0);
}

function exponentials(values: readonly number[]): number[] {
  return values.map(Math.exp);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
