import { noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import type { PackedBatch } from "../data/packing.js";
import { DataError } from "../errors.js";
import { likeliestOf, nonFiniteLogits } from "../language/decoding/finite-logits.js";
import { KeyValueCache } from "../language/llama.js";
import { batchTensors, readColumns } from "./layout.js";
import type { VisionLanguageModel } from "./lvlm.js";

export interface GenerateOptions {
  /** Ends an answer. */
  eosId: number;
  /** An answer that has not ended by then is cut. */
  maxNewTokens: number;
  device: string;
}

/** One prompt of a packed batch: where its last token is, and whose tokens it sees. */
interface Prompt {
  row: number;
  document: number;
  segment: number;
  /** Flat index of the prompt's last token. */
  last: number;
}

/**
 * Greedy answers to all prompts of a packed batch, in its order of samples. The questions of a picture share its
 * tokens in the cache too: a step appends one token for each of them.
 * @param batch prompts: every continuation ends where its answer begins
 * @param features (images, positions, visualDim), or null for text alone
 * @returns token ids without the end token
 * @throws DataError when a sample that ends with its prefix shares it with another
 * @throws NonFiniteError for logits that are no numbers
 */
export function generate(
  model: VisionLanguageModel,
  batch: PackedBatch,
  features: Tensor | null,
  { eosId, maxNewTokens, device }: GenerateOptions,
): number[][] {
  const prompts = promptsOf(batch);
  if (prompts.length !== batch.sampleIds.length) {
    throw new DataError(
      `generate: ${batch.sampleIds.length} samples of the batch are ${prompts.length} prompt(s): a sample that is its ` +
        "prefix alone cannot share it with others. Pack with compact: false.",
    );
  }
  const answers: number[][] = prompts.map(() => []);
  const rows = slotsByRow(prompts, batch.rows);
  const slots = Math.max(...rows.map((row) => row.length));

  noGrad(() =>
    tidy(() => {
      const tensors = batchTensors(batch, device);
      using cache = new KeyValueCache();
      const lastPositions = prompts.map(({ last }) => last);
      const { columns, count, stateAt } = readColumns(batch, lastPositions);
      const readout = tensor(columns, { shape: [batch.rows, count], device }).to("int64");
      const states = model.hiddenStates(tensors, features, { cache, readout });
      const read = tensor(Int32Array.from(lastPositions, stateAt), { device }).to("int64");
      const logits = model.logitsAt(states, read);
      let next = likeliest(model, logits);
      // What each cached token belongs to, a key a row and token: (document, segment), the prefix apart.
      const cached = Array.from({ length: batch.rows }, (_, row) => ownersOfRow(batch, row));
      const done = prompts.map(() => false);

      for (let step = 0; step < maxNewTokens; step++) {
        for (const [index, token] of next.entries()) {
          if (token === eosId) done[index] = true;
          if (!done[index]) answers[index]!.push(token);
        }
        if (done.every(Boolean) || step === maxNewTokens - 1) break;
        const inputIds = new Int32Array(batch.rows * slots);
        const positions = new Int32Array(batch.rows * slots);
        for (const [row, members] of rows.entries()) {
          for (let slot = 0; slot < slots; slot++) {
            const index = members[slot];
            const prompt = index === undefined ? undefined : prompts[index]!;
            cached[row]!.push(prompt ? { document: prompt.document, segment: prompt.segment } : padding);
            if (index === undefined || !prompt) continue;
            inputIds[row * slots + slot] = next[index]!;
            positions[row * slots + slot] = batch.positions[prompt.last]! + 1 + step;
          }
        }
        const shape = [batch.rows, slots];
        const ids = tensor(inputIds, { shape, device }).to("int64");
        const hidden = model.language.model.forward(model.language.embed(ids), {
          positions: tensor(positions, { shape, device }).to("int64"),
          mask: tensor(decodingMask(cached, rows, prompts, slots), {
            shape: [batch.rows, 1, slots, cached[0]!.length],
            device,
          }).to("bool"),
          cache,
        });
        const best = likeliest(model, model.language.logits(hidden)); // (rows, slots)
        next = prompts.map((prompt, index) => best[prompt.row * slots + rows[prompt.row]!.indexOf(index)]!);
      }
    }),
  );
  return answers;
}

function likeliest({ language }: VisionLanguageModel, logits: Tensor): number[] {
  const { ids, areNumbers } = likeliestOf(logits);
  if (!areNumbers.every(Boolean)) throw nonFiniteLogits(language, undefined);
  return ids;
}

interface Owner {
  document: number;
  segment: number;
}
const padding: Owner = { document: -1, segment: -1 };

function ownersOfRow({ documents, segments, length }: PackedBatch, row: number): Owner[] {
  return Array.from({ length }, (_, column) => ({
    document: documents[row * length + column]!,
    segment: segments[row * length + column]!,
  }));
}

/** 1 where a new token sees a cached one: the prefix of its document, and its own question and answer so far. */
function decodingMask(cached: Owner[][], rows: number[][], prompts: Prompt[], slots: number): Uint8Array {
  const keys = cached[0]!.length;
  const mask = new Uint8Array(rows.length * slots * keys);
  for (const [row, members] of rows.entries()) {
    for (let slot = 0; slot < slots; slot++) {
      const offset = (row * slots + slot) * keys;
      const prompt = members[slot] === undefined ? undefined : prompts[members[slot]!]!;
      if (!prompt) {
        mask[offset + keys - slots + slot] = 1; // an unused slot sees itself: no softmax is empty
        continue;
      }
      for (const [key, owner] of cached[row]!.entries()) {
        const own = owner.segment === 0 || owner.segment === prompt.segment;
        if (owner.document === prompt.document && own) mask[offset + key] = 1;
      }
    }
  }
  return mask;
}

/** The prompts in order of samples: a continuation each, or, of a document without one, its prefix. */
export function promptsOf({ rows, length, documents, segments }: PackedBatch): Prompt[] {
  const prompts: Prompt[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < length; column++) {
      const at = row * length + column;
      const [document, segment] = [documents[at]!, segments[at]!];
      if (document < 0) break;
      const previous = prompts[prompts.length - 1];
      if (
        previous?.row === row &&
        previous.document === document &&
        (previous.segment === segment || previous.segment === 0)
      ) {
        Object.assign(previous, { segment, last: at });
      } else prompts.push({ row, document, segment, last: at });
    }
  }
  return prompts;
}

function slotsByRow(prompts: Prompt[], rows: number): number[][] {
  const slots: number[][] = Array.from({ length: rows }, () => []);
  for (const [index, { row }] of prompts.entries()) slots[row]!.push(index);
  return slots;
}
