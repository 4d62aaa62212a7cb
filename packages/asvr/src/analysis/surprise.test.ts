import { F, manualSeed, memory, setThreads, tensor, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { reconstructionNll } from "../supervision/reconstruction.js";
import { VisualHead } from "../supervision/visual-head.js";
import { ResidualQuantizer } from "../tokenizers/residual-quantizer.js";
import { surpriseOf } from "./surprise.js";

setThreads(1); // test files run side by side
manualSeed(6);
const before = memory().tensors;
const config = { hiddenSize: 10, embedDim: 12, headDim: 4, layers: 2, depth: 3, codebookSize: 11, codeDim: 6 };
const [positions, { depth, codebookSize }] = [9, config];
const head = new VisualHead(config);
const quantizer = new ResidualQuantizer({ dim: config.codeDim, codebookSize, depth, shared: true });
const tokenizer = { embed: (codes: Parameters<typeof quantizer.lookup>[0]) => quantizer.lookup(codes) };
const hiddenStates = F.randn([positions, config.hiddenSize]);
const codes = tidy(() => F.rand([positions, depth]).mul(codebookSize).to("int64"));
afterAll(() => {
  for (const owned of [head, quantizer, hiddenStates, codes]) owned.dispose();
  expect(memory().tensors).toBe(before);
});

test("is what the loss sums, position by position and depth by depth", () => {
  const { nats, right } = surpriseOf(head, tokenizer, hiddenStates, codes);
  expect(nats.map((ofDepth) => ofDepth.length)).toEqual([positions, positions, positions]);
  const { nll, correct } = tidy(() => {
    const loss = reconstructionNll(head, hiddenStates, tokenizer.embed(codes), codes);
    return { nll: loss.nll.item(), correct: loss.correctPerDepth.toNumbers() };
  });
  expect(nats.flat().reduce((sum, value) => sum + value, 0) / depth).toBeCloseTo(nll, 4);
  expect(right).toEqual(correct);
});

test("a position's surprise is that of its own code, given the codes before it", () => {
  const { nats } = surpriseOf(head, tokenizer, hiddenStates, codes);
  tidy(() => {
    const probabilities = head.forward(hiddenStates, tokenizer.embed(codes)).softmax(-1).toNumbers();
    const all = codes.toNumbers();
    for (let position = 0; position < positions; position++) {
      for (let level = 0; level < depth; level++) {
        const at = position * depth + level;
        expect(Math.exp(-nats[level]![position]!)).toBeCloseTo(probabilities[at * codebookSize + all[at]!]!, 5);
      }
    }
  });
});

test("predicted codes are at every depth the most likely ones after themselves", () => {
  const { predicted } = surpriseOf(head, tokenizer, hiddenStates, codes);
  const again = tidy(() => surpriseOf(head, tokenizer, hiddenStates, tensor(predicted).to("int64")));
  expect(again.right).toEqual([positions, positions, positions]);
  expect(again.predicted).toEqual(predicted);
});
