import { expectClose, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { officialHeadWeights } from "./official-names.js";
import { reconstructionNll } from "./reconstruction.js";
import { VisualHead } from "./visual-head.js";

interface Config {
  B: number;
  S: number;
  image_start: number;
  hidden: number;
  embed_dim: number;
  depth: number;
  vocab: number;
  code_dim: number;
  head_dim: number;
  layers: number;
}

goldenFamily<Config>("d_visual_head", (golden) => {
  const { B, S, image_start: start, hidden, depth, vocab } = golden.config;
  using head = new VisualHead({
    hiddenSize: hidden,
    embedDim: golden.config.embed_dim,
    headDim: golden.config.head_dim,
    layers: golden.config.layers,
    depth,
    codebookSize: vocab,
    codeDim: golden.config.code_dim,
  }).load(officialHeadWeights(golden.weights()));
  const { forward, gradients } = golden.tolerance;
  const codes = golden.tensor("in/codes").reshape([B * S, depth]);
  const cumulative = golden.tensor("out/code_emb_cumsum").reshape([B * S, depth, -1]);

  for (const [name, shift] of [
    ["unshifted", 0],
    ["shifted", 1],
  ] as const) {
    const hiddenStates = golden.tensor("in/hidden_states").clone().setRequiresGrad(true);
    const atImages = hiddenStates.narrow(1, start - shift, S).reshape([B * S, hidden]);
    const logits = head.forward(atImages, cumulative);
    expectClose(logits.view([B, S, depth, vocab]), golden.tensor(`out/${name}/logits`), forward, `${name} logits`);
    for (let d = 0; d < depth; d++) {
      const crossEntropy = logits.select(1, d).crossEntropyLoss(codes.select(1, d));
      expectClose(crossEntropy, golden.tensor(`out/${name}/ce_per_depth`).select(0, d), forward, `${name} depth ${d}`);
    }
    const { nll } = reconstructionNll(head, atImages, cumulative, codes);
    const loss = nll.div(B * S);
    expectClose(loss, golden.tensor(`out/${name}/loss`), forward, `${name} loss`);
    for (const parameter of head.parameters()) parameter.grad = null;
    loss.backward();
    expectClose(
      hiddenStates.grad!,
      golden.tensor(`grad/${name}/in/hidden_states`),
      gradients,
      `${name} d hidden states`,
    );
    const actual = head.gradients();
    const expected = golden.under(`grad/${name}/weight/`);
    expect(expected.size).toBeGreaterThan(0);
    for (const [key, gradient] of expected) expectClose(actual.get(key)!, gradient, gradients, `${name} d ${key}`);
  }
});
