import { createHash } from "node:crypto";
import { F, type Tensor, tensor, tidy } from "@asvr/torch";
import { expectClose, goldenFamily, type Tolerance } from "@asvr/torch/testing";
import { expect, vi } from "vitest";
import { KeyValueCache, type LlamaForCausalLM } from "../../language/llama.js";
import { visibilityMask } from "../../model/layout.js";
import { llamaConfig } from "../llama-config.js";
import { loadGgufLanguageModel } from "./language-model.js";
import { smollm2File } from "./smollm2-file.js";

// A real model: twenty prompts and 640 tokens take a quarter of a minute of one core, longer on a busy machine.
vi.setConfig({ testTimeout: 300_000 });

interface Sidecar {
  readonly gguf: { readonly file: string };
  readonly tolerance: { readonly logits: Tolerance };
  readonly prompts: readonly { readonly label: string; readonly input_ids: readonly number[] }[];
  readonly checksums: readonly {
    readonly hf: string;
    readonly shape: readonly number[];
    readonly sum: number;
    readonly sum_of_squares: number;
    readonly first8: readonly number[];
    readonly sha256_f32le: string;
  }[];
}

/** From here on a continuation may differ: two tokens are as good. */
const NARROW_MARGIN = 5e-3;

goldenFamily<Record<string, unknown>, Sidecar>("n_smollm2", (golden) => {
  const { gguf, prompts, checksums, tolerance } = golden.sidecar;
  const file = smollm2File() ?? golden.skip(`needs ${gguf.file}: asvr fetch smollm2, or ASVR_SMOLLM2`);
  using model = loadGgufLanguageModel(file);
  expect(model.config).toEqual(llamaConfig(golden.config));

  const weights = model.stateDict();
  expect(checksums.map(({ hf }) => hf).sort()).toEqual([...weights.keys()].sort());
  for (const { hf, shape, sum, sum_of_squares: squares, first8, sha256_f32le: sha256 } of checksums) {
    const weight = weights.get(hf)!.to({ device: "cpu" });
    expect([hf, weight.shape]).toEqual([hf, shape]);
    expect([hf, weight.flatten().narrow(0, 0, 8).toNumbers()]).toEqual([hf, first8]);
    const found = tidy(() => weight.to("float64").sum().item());
    expect(Math.abs(found - sum), hf).toBeLessThanOrEqual(1e-6 * Math.sqrt(weight.elementCount * squares) + 1e-6);
    expect([hf, sha256Of(weight)]).toEqual([hf, sha256]);
  }

  const rows = (name: string) => {
    const found = golden.tensor(name);
    const values = found.toNumbers();
    const width = found.size(1);
    return prompts.map((_, index) => values.slice(index * width, (index + 1) * width));
  };
  const [wantedIds, wantedTokens, margins] = [rows("out/top20_ids"), rows("out/new_tokens"), rows("out/margin")];
  for (const group of ofSimilarLength(prompts.map(({ input_ids }) => input_ids.length))) {
    const ids = group.map((index) => prompts[index]!.input_ids);
    const { logits, tokens } = tidy(() => continued(model, ids, wantedTokens[0]!.length));
    for (const [row, index] of group.entries()) {
      const own = logits.select(0, row);
      const { label } = prompts[index]!;
      const topIds = tensor(wantedIds[index]!).to({ dtype: "int64", device: own.device });
      const wanted = golden.tensor("out/top20_logits").select(0, index);
      expectClose(own.indexSelect(0, topIds), wanted, tolerance.logits, `logits of ${label}`);
      const best = own.topk(topIds.size(0))[0]!;
      expectClose(best, wanted, tolerance.logits, `largest logits of ${label}`);
      const narrow = margins[index]!.findIndex((margin) => margin < NARROW_MARGIN);
      const compared = narrow < 0 ? margins[index]!.length : narrow;
      const found = tokens.slice(0, compared).map((step) => step[row]);
      expect([label, found]).toEqual([label, wantedTokens[index]!.slice(0, compared)]);
    }
  }
});

/** Indices of lengths, in groups whose padding is worth it: none is four times as long as another of its group. */
function ofSimilarLength(lengths: readonly number[]): number[][] {
  const groups: number[][] = [];
  for (const index of lengths.map((_, i) => i).sort((a, b) => lengths[a]! - lengths[b]!)) {
    const last = groups.at(-1);
    if (last && lengths[index]! < 4 * lengths[last[0]!]!) last.push(index);
    else groups.push([index]);
  }
  return groups;
}

/**
 * The logits after each prompt, (prompts, vocabSize), and the `count` likeliest tokens that follow, [step][prompt].
 * Prompts are padded on the left to the longest, so that they go on side by side.
 */
function continued(
  model: LlamaForCausalLM,
  prompts: readonly (readonly number[])[],
  count: number,
): { logits: Tensor; tokens: number[][] } {
  const { device } = model.model.embedTokens.weight;
  const int64 = (rows: number[][]) => tensor(rows).to({ dtype: "int64", device });
  const longest = Math.max(...prompts.map((prompt) => prompt.length));
  const padding = prompts.map(({ length }) => Array<number>(longest - length).fill(0));
  const isReal = int64(prompts.map(({ length }, row) => [...padding[row]!, ...Array<number>(length).fill(1)]));
  const prefix = int64(prompts.map((prompt, row) => [...padding[row]!, ...prompt]));
  using cache = new KeyValueCache();
  const states = model.model.forward(model.embed(prefix), {
    positions: isReal.cumsum(1).sub(1).clamp(0),
    mask: visibilityMask(isReal.sub(1), isReal.zerosLike()),
    cache,
  });
  const logits = model.logits(states.select(1, -1));
  const tokens = [logits.argmax(-1).toNumbers()];
  let seen = isReal;
  while (tokens.length < count) {
    seen = F.cat([seen, F.ones([prompts.length, 1], "int64", device)], 1);
    const positions = seen.sum(1, true).sub(1);
    const mask = seen.gt(0).unsqueeze(1).unsqueeze(1);
    const embedded = model.embed(int64(tokens.at(-1)!.map((token) => [token])));
    const next = tidy(() => model.logits(model.model.forward(embedded, { positions, mask, cache }).select(1, -1)));
    tokens.push(next.argmax(-1).toNumbers());
    next.dispose();
  }
  return { logits, tokens };
}

function sha256Of(weight: Tensor): string {
  const values = weight.contiguous().data() as Float32Array;
  return createHash("sha256")
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest("hex");
}
