import { F, type Tensor, tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { llamaConfig } from "../checkpoints/llama-config.js";
import { visibilityMask } from "../model/layout.js";
import { Decoder } from "./decoding/decoder.js";
import { ask, finish } from "./decoding/fixture.js";
import { KeyValueCache, LlamaForCausalLM } from "./llama.js";

type AnyGolden = Golden<Record<string, unknown>, unknown>;

goldenFamily("b_llama", expectReference);
goldenFamily("b_mistral", expectReference);
goldenFamily("b_qwen2", expectReference);

function expectReference(golden: AnyGolden): void {
  using model = new LlamaForCausalLM(llamaConfig(golden.config)).load(golden.weights());
  const { forward, gradients } = golden.tolerance;
  const vocab = model.config.vocabSize;

  // Right padding: padding is no document, so it sees itself only.
  const inputIds = golden.tensor("in/input_ids");
  const attentionMask = golden.tensor("in/attention_mask");
  const mask = visibilityMask(attentionMask.sub(1), attentionMask.zerosLike());
  const states = model.model.hiddenStates(model.embed(inputIds), { mask });
  const real = attentionMask.unsqueeze(-1);
  const logits = model.logits(states[states.length - 1]!);
  expectClose(logits.mul(real), golden.tensor("out/logits"), forward, "logits");
  for (const [layer, state] of states.entries()) {
    const expected = golden.tensor("out/hidden_states").select(0, layer);
    expectClose(state.mul(real), expected.mul(real), forward, `hidden state ${layer}`);
  }
  const loss = nextTokenLoss(logits, golden.tensor("in/labels"), vocab);
  expectClose(loss, golden.tensor("out/loss"), forward, "loss");
  loss.backward();
  expectGradients(model, golden.under("grad/weight/"), gradients);

  // A golden may lack any of these, but each of its tensors where it has one.
  const has = (part: string) => golden.under(part).size > 0;
  if (has("left_padded/")) expectLeftPadded(golden, model);
  if (has("packed/")) expectPacked(golden, model);
  if (has("generate/")) expectGenerated(golden, model);
}

/** Left padding: positions begin at the first real token. */
function expectLeftPadded(golden: AnyGolden, model: LlamaForCausalLM): void {
  const leftMask = golden.tensor("left_padded/in/attention_mask");
  const left = model.model.forward(model.embed(golden.tensor("left_padded/in/input_ids")), {
    positions: golden.tensor("left_padded/in/position_ids"),
    mask: visibilityMask(leftMask.sub(1), leftMask.zerosLike()),
  });
  const leftLogits = model.logits(left).mul(leftMask.unsqueeze(-1));
  expectClose(leftLogits, golden.tensor("left_padded/out/logits"), golden.tolerance.forward, "left-padded logits");
}

/** Greedy decoding, with the cache: the last logits by hand, the tokens by the decoder. */
function expectGenerated(golden: AnyGolden, model: LlamaForCausalLM): void {
  const ids = golden.tensor("generate/in/input_ids");
  const wanted = golden.tensor("generate/out/new_tokens").toNumbers();
  using decoder = new Decoder(model);
  const answer = ask(decoder, model.embed(ids), { maxNewTokens: wanted.length });
  finish(decoder);
  expect(answer.ids).toEqual(wanted);
  using cache = new KeyValueCache();
  let last: Tensor | undefined;
  for (const [seen, next] of [ids, ...wanted.slice(0, -1).map((id) => F.full([1, 1], id, "int64"))].entries()) {
    const first = seen === 0 ? 0 : ids.size(1) + seen - 1;
    const positions = F.arange(first, first + next.size(1), 1, "int64").unsqueeze(0);
    const hidden = model.model.forward(model.embed(next), { positions, cache });
    last = model.logits(hidden.select(1, -1));
  }
  expectClose(last!, golden.tensor("generate/out/last_logits"), golden.tolerance.forward, "last logits");
}

/** Packing: each sequence is a document. */
function expectPacked(golden: AnyGolden, model: LlamaForCausalLM): void {
  const { forward, gradients } = golden.tolerance;
  const lengths = golden.tensor("packed/in/lengths").toNumbers();
  const documents = tensor(lengths.flatMap((length, document) => Array<number>(length).fill(document)))
    .to("int64")
    .unsqueeze(0);
  const packed = model.model.forward(model.embed(golden.tensor("packed/in/input_ids")), {
    positions: golden.tensor("packed/in/position_ids"),
    mask: visibilityMask(documents, documents.zerosLike()),
  });
  const packedLogits = model.logits(packed);
  expectClose(packedLogits, golden.tensor("packed/out/logits"), forward, "packed logits");
  const starts = lengths.map((_, index) => lengths.slice(0, index).reduce((sum, length) => sum + length, 0));
  const predicting = lengths.flatMap((length, index) =>
    Array.from({ length: length - 1 }, (_, i) => starts[index]! + i),
  );
  const at = tensor(predicting).to("int64");
  const targets = golden.tensor("packed/in/input_ids").select(0, 0).indexSelect(0, at.add(1));
  const nll = packedLogits.select(0, 0).indexSelect(0, at).crossEntropyLoss(targets, undefined, 0);
  expectClose(nll, golden.tensor("packed/out/nll"), forward, "packed token losses");
  for (const parameter of model.parameters()) parameter.grad = null;
  nll.mean().backward();
  expectGradients(model, golden.under("packed/grad/weight/"), gradients);
}

function nextTokenLoss(logits: Tensor, labels: Tensor, vocab: number): Tensor {
  const length = labels.size(1);
  return logits
    .narrow(1, 0, length - 1)
    .reshape([-1, vocab])
    .crossEntropyLoss(labels.narrow(1, 1, length - 1).reshape([-1]));
}

function expectGradients(
  model: LlamaForCausalLM,
  expected: ReadonlyMap<string, Tensor>,
  tolerance: { rtol: number; atol: number },
): void {
  const actual = model.gradients();
  expect(expected.size).toBeGreaterThan(0);
  for (const [name, gradient] of expected) expectClose(actual.get(name)!, gradient, tolerance, `gradient of ${name}`);
}
