import { call, F, nn, optim, setThreads, type Tensor, tensor, tidy } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily, type Tolerance } from "@asvr/torch/testing";
import { expect } from "vitest";
import { type PackedBatch, packSamples } from "../data/packing.js";
import { IMAGE_TOKEN_INDEX, type Sample } from "../data/samples.js";
import { reconstructionNll } from "../supervision/reconstruction.js";
import type { CodeSupervision } from "../supervision/supervision.js";
import { SemanticBranch } from "../tokenizers/semantic-branch.js";
import { SiglipVisionTower } from "../vision/siglip.js";
import { type BatchTensors, batchTensors } from "./layout.js";
import { type Losses, totalLoss, type VisionLanguageModel, type VisualBatch } from "./lvlm.js";
import {
  buildModel,
  buildQuantizer,
  buildTower,
  type Config,
  device,
  type Norms,
  ownName,
  type Sidecar,
  type TrajectoryStep,
  tokenizerWeights,
  towerConfig,
} from "./official-step.fixture.js";

setThreads(1); // test files run side by side

goldenFamily<Config, Sidecar>("g_asvr_llama", expectOfficialStep);
goldenFamily<Config, Sidecar>("g_asvr_mistral", expectOfficialStep);
goldenFamily<Config, Sidecar>("g_asvr_qwen2", expectOfficialStep);

/** The authors' training step, from pixels to the weights after some of the optimizer's steps. */
function expectOfficialStep(golden: Golden<Config, Sidecar>): void {
  const { forward, gradients } = golden.tolerance;
  const norms = golden.sidecar.gradient_norms;
  using tower = buildTower(golden);
  const features = tower.hiddenState(golden.tensor("in/images"), -2);
  expectClose(sparse(golden, "out/tower_features", features), golden.tensor("out/tower_features"), forward, "tower");

  const samples = readSamples(golden);
  const lengths = golden.sidecar.samples.map(({ length, has_image }) => length + (has_image ? tower.positions - 1 : 0));
  // A sample a row, as the reference has them; then all in one row, which changes nothing.
  for (const capacity of [Math.max(...lengths), lengths.reduce((sum, length) => sum + length)]) {
    const batch = packSamples(samples, { capacity, imageTokens: tower.positions, compact: false });
    expectTargets(golden, batch);
    const step = new OfficialStep(golden, batch, features);
    using model = buildModel(golden, "same");
    expectValues(golden, batch, step, model);

    const losses = step.losses(model);
    const ours = totalLoss(step.ours(model), step.counts, 1);
    expectClose(ours.textLoss, golden.tensor("out/loss_text"), forward, "text loss");
    expectClose(ours.visionLoss, golden.tensor("out/loss_vision_images_only"), forward, "our vision loss");
    for (const part of ["loss_text", "loss_vision", "loss"] as const) {
      expectClose(losses[part], golden.tensor(`out/${part}`), forward, part);
      for (const parameter of model.parameters()) parameter.grad = null;
      losses[part].backward(undefined, { retainGraph: true });
      expectNorms(model, norms.stage2[part], gradients, `stage 2, ${part}`);
    }
    expectGradients(model, golden.under("grad/stage2/"), gradients);

    using shifted = buildModel(golden, "next");
    const shiftedLosses = step.losses(shifted);
    expectClose(shiftedLosses.loss_vision, golden.tensor("out/shifted/loss_vision"), forward, "shifted vision loss");
    expectClose(shiftedLosses.loss, golden.tensor("out/shifted/loss"), forward, "shifted loss");
    shiftedLosses.loss.backward();
    expectNorms(shifted, norms.stage2_shifted, gradients, "shifted");
    expectGradients(shifted, golden.under("grad/shifted/"), gradients);

    using pretrained = buildModel(golden, "same");
    pretrained.language.setTrainable(false);
    step.losses(pretrained).loss.backward();
    expectNorms(pretrained, norms.stage1.norms, gradients, "stage 1");
    const learned = [...pretrained.gradients()].flatMap(([name, gradient]) => (gradient ? [name] : []));
    const expected = norms.stage1.trainable.flatMap((name) => ownName(name) ?? []);
    expect(learned.sort()).toEqual(expected.sort());
  }

  const batch = packSamples(samples, {
    capacity: Math.max(...lengths),
    imageTokens: tower.positions,
    compact: false,
  });
  const step = new OfficialStep(golden, batch, features);
  for (const [name, steps] of Object.entries(golden.sidecar.trajectories)) {
    if (typeof steps !== "string") expectTrajectory(golden, step, name, steps);
  }
  if (golden.tensors.has("out/tokenizer_features")) expectCodes(golden);
}

/** The loss of the release, made of ours. */
class OfficialStep {
  readonly #batch: PackedBatch;
  readonly #tensors: BatchTensors;
  readonly #visual: VisualBatch;
  readonly #textOnly: { cumulative: Tensor; codes: Tensor } | undefined;
  readonly counts: { text: number; vision: number };

  constructor(golden: Golden<Config, Sidecar>, batch: PackedBatch, features: Tensor) {
    this.#batch = batch;
    this.#tensors = batchTensors(batch, device);
    const codes = golden.tensor("out/codes");
    const inOrder = indices(batch.images.map(({ ref }) => Number(ref.key)));
    this.#visual = {
      features: features.indexSelect(0, inOrder),
      codes: new Map([["semantic", codes.indexSelect(0, inOrder)]]),
    };
    const textOnly = golden.sidecar.samples.flatMap(({ has_image }, sample) => (has_image ? [] : [sample]));
    if (textOnly.length > 0) {
      const dummy = codes.indexSelect(0, indices(textOnly)).flatten(0, 1);
      using quantizer = buildQuantizer(golden);
      this.#textOnly = { codes: dummy, cumulative: quantizer.lookup(dummy) };
    }
    this.counts = { text: batch.targets.ids.length, vision: this.#tensors.imagePositions.size(0) };
  }

  /** Ours: a text-only sample adds nothing to the vision loss. */
  ours(model: VisionLanguageModel): Losses {
    return model.losses(this.#batch, this.#visual);
  }

  /**
   * Of a text-only sample the release predicts the codes of a black picture from zero vectors, and counts them. No
   * gradient reaches the language model from there, but the head gets one; so these rows are added here.
   */
  losses(model: VisionLanguageModel): Record<"loss" | "loss_text" | "loss_vision", Tensor> {
    const losses = this.ours(model);
    let count = losses.visionCount;
    let visionNll = losses.visionNll!;
    if (this.#textOnly) {
      const { head } = model.supervision as CodeSupervision;
      const { cumulative, codes } = this.#textOnly;
      const zeros = F.zeros([codes.size(0), head.config.hiddenSize], "float32", device);
      visionNll = visionNll.add(reconstructionNll(head, zeros, cumulative, codes).nll);
      count += codes.size(0);
    }
    const counts = { text: losses.textCount, vision: count };
    const { total, textLoss, visionLoss } = totalLoss({ ...losses, visionNll }, counts, 1);
    return { loss: total, loss_text: textLoss, loss_vision: visionLoss };
  }

  states(model: VisionLanguageModel): Tensor {
    return model.hiddenStates(this.#tensors, this.#visual.features).flatten(0, 1);
  }

  get imagePositions(): Tensor {
    return this.#tensors.imagePositions;
  }
}

function expectValues(
  golden: Golden<Config, Sidecar>,
  batch: PackedBatch,
  step: OfficialStep,
  model: VisionLanguageModel,
): void {
  const { forward } = golden.tolerance;
  const { depth, hidden } = golden.config;
  const codes = golden.tensor("out/codes");
  const [sampleCount, positions] = codes.shape as [number, number, number];
  const flatIndex = flatIndexOf(batch);
  const flatIndices = (name: string) => {
    const places = golden.tensor(name).toNumbers();
    return indices(Array.from({ length: places.length / 2 }, (_, i) => flatIndex(places[2 * i]!, places[2 * i + 1]!)));
  };

  const features = golden.tensor("out/image_features");
  const projected = model.projector.forward(golden.tensor("out/tower_features"));
  expectClose(projected, features, forward, "image features");
  const states = step.states(model);
  const logits = model.logitsAt(states, flatIndices("out/text_positions"));
  expectClose(logits, golden.tensor("out/logits_at_text"), forward, "logits at text");
  const probed = states.indexSelect(0, flatIndices("out/image_probe_positions"));
  expectClose(probed, golden.tensor("out/hidden_at_probe"), forward, "hidden states at probes");

  // (samples, positions, hidden), zero where a sample is text only
  const atImages = F.zeros([sampleCount, positions, hidden], "float32", device);
  const withImages = indices(batch.images.map(({ ref }) => Number(ref.key)));
  const found = states.indexSelect(0, step.imagePositions).view([-1, positions, hidden]);
  const everywhere = atImages.indexCopy(0, withImages, found).flatten(0, 1);
  using quantizer = buildQuantizer(golden);
  const { head } = model.supervision as CodeSupervision;
  const visual = head.forward(everywhere, quantizer.lookup(codes.flatten(0, 1)));
  const visualLogits = visual.view([sampleCount, positions, depth, -1]);
  const expected = golden.tensor("out/visual_logits");
  expectClose(sparse(golden, "out/visual_logits", visualLogits), expected, forward, "visual logits");
  const crossEntropy = visual
    .flatten(0, 1)
    .crossEntropyLoss(codes.flatten(), undefined, 0)
    .view([sampleCount, positions, depth])
    .mean(1);
  expectClose(crossEntropy, golden.tensor("out/ce_per_sample_depth"), forward, "cross entropy by sample and depth");
}

/** The packed targets are the reference's labels, each predicted from the position before it. */
function expectTargets(golden: Golden<Config, Sidecar>, batch: PackedBatch): void {
  const labels = golden.tensor("out/new_labels");
  const length = labels.size(1);
  const flatIndex = flatIndexOf(batch);
  const expected = labels.toNumbers().flatMap((label, index) => {
    const position = index % length;
    if (label < 0 || position === 0) return [];
    return [`${flatIndex(Math.floor(index / length), position - 1)} -> ${label}`];
  });
  const found = [...batch.targets.positions].map((position, target) => `${position} -> ${batch.targets.ids[target]}`);
  expect(found.sort()).toEqual(expected.sort());
}

function expectTrajectory(
  golden: Golden<Config, Sidecar>,
  step: OfficialStep,
  name: string,
  expected: readonly TrajectoryStep[],
): void {
  const [, stage, shifted, rate] = /^(stage[12])(_shifted)?_lr(.+)$/.exec(name)!;
  using model = buildModel(golden, shifted ? "next" : "same");
  if (stage === "stage1") model.language.setTrainable(false);
  const trainable = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
  using optimizer = new optim.AdamW(trainable, { betas: [0.9, 0.999], weightDecay: 0 });
  const parameters = trainable.map(([, parameter]) => parameter);
  for (const [index, wanted] of expected.entries()) {
    tidy(() => {
      optimizer.zeroGrad();
      const losses = step.losses(model);
      losses.loss.backward();
      const gradNorm = optim.clipGradNorm(parameters, 1);
      optimizer.step(Number(rate));
      const found = { ...losses, grad_norm: tensor(gradNorm) };
      for (const part of ["loss", "loss_text", "loss_vision", "grad_norm"] as const) {
        const tolerance = { ...golden.sidecar.tolerance.trajectories, atol: 0 };
        expectClose(found[part], tensor(wanted[part]), tolerance, `${name}, step ${index}: ${part}`);
      }
    });
  }
  if (name !== "stage2_lr1e-3") return;
  const state = model.stateDict();
  for (const [weight, values] of golden.under("out/after_steps/")) {
    expectClose(
      state.get(ownName(weight)!)!,
      values,
      golden.tolerance.gradients,
      `${weight} after ${expected.length} steps`,
    );
  }
}

/** The tokenizer: pixels to codes. A code counts where it and those of the depths before it are no near tie. */
function expectCodes(golden: Golden<Config, Sidecar>): void {
  const { t_hidden, t_inter, t_layers, t_heads, t_image, t_patch, codes: codebookSize, depth } = golden.config;
  // The release reads the second-last layer's output and stores no layer after it.
  using tower = nn.creating({ device }, () => {
    const sizes = { dim: t_hidden, mlpDim: t_inter, layers: t_layers - 1, heads: t_heads };
    return new SiglipVisionTower({ ...towerConfig(golden.config), ...sizes, imageSize: t_image, patchSize: t_patch });
  });
  const stored = golden.weights(`${tokenizerWeights}siglip_model.vision_model.`);
  tower.load(new Map([...tower.stateDict(), ...stored]));
  const quantizer = { codebookSize, depth, shared: true };
  using branch = nn.creating(
    { device },
    () => new SemanticBranch(tower, { layer: -1, normaliseFeatures: false, quantizer }),
  );
  branch.quantizer.load(golden.weights(`${tokenizerWeights}quantizer_semantic.`));

  const images = golden.tensor("in/images");
  const resized = call("aten::upsample_bilinear2d", images, [t_image, t_image], false) as Tensor;
  const features = tower.hiddenState(resized, -1);
  const expected = golden.tensor("out/tokenizer_features");
  expectClose(sparse(golden, "out/tokenizer_features", features), expected, golden.tolerance.forward, "tokenizer");
  const isClear = golden.tensor("out/code_margin").le(1e-3).to("int64").cumsum(-1).eq(0);
  const codes = branch.encode(resized);
  const wrong = codes.ne(golden.tensor("out/codes")).logicalAnd(isClear).sum().item();
  expect(isClear.sum().item()).toBeGreaterThan(0);
  expect(wrong).toBe(0);
}

/** The release's groups of parameters, by the beginnings of our names. */
const groups: Readonly<Record<string, string>> = {
  mm_projector: "projector.",
  projector: "supervision.projector.",
  rqtransformer_semantic: "supervision.rqtransformer_semantic.",
  llm: "language.",
  all: "",
};

function expectNorms(model: VisionLanguageModel, expected: Norms, tolerance: Tolerance, label: string): void {
  for (const [group, prefix] of Object.entries(groups)) {
    const found = [...model.gradients()].flatMap(([name, gradient]) =>
      gradient && name.startsWith(prefix) ? [gradient.square().sum()] : [],
    );
    const want = expected[group];
    if (want === null) expect(found, `${label}: gradients of ${group}`).toEqual([]);
    else expectClose(F.stack(found).sum().sqrt(), tensor(want!), tolerance, `${label}: norm of ${group}`);
  }
}

function expectGradients(
  model: VisionLanguageModel,
  expected: ReadonlyMap<string, Tensor>,
  tolerance: Tolerance,
): void {
  expect(expected.size).toBeGreaterThan(0);
  const actual = model.gradients();
  for (const [name, gradient] of expected) {
    expectClose(actual.get(ownName(name)!)!, gradient, tolerance, `gradient of ${name}`);
  }
}

/** Sample b of the batch is "b", and so is its picture. */
function readSamples(golden: Golden<Config, Sidecar>): Sample[] {
  return golden.sidecar.samples.map(({ length, has_image }, sample) => {
    const row = (name: string) =>
      Int32Array.from(golden.tensor(name).select(0, sample).narrow(0, 0, length).toNumbers());
    const inputIds = row("in/input_ids");
    expect(inputIds.includes(IMAGE_TOKEN_INDEX)).toBe(has_image);
    return { id: `${sample}`, inputIds, labels: row("in/labels"), ...(has_image && { image: { key: `${sample}` } }) };
  });
}

/** Where position p of sample b is in the packed batch. */
function flatIndexOf({
  rows,
  length,
  documents,
  sampleIds,
}: PackedBatch): (sample: number, position: number) => number {
  const starts = new Map<string, number>();
  for (let at = 0; at < rows * length; at++) {
    const begins = at % length === 0 || documents[at] !== documents[at - 1];
    if (begins && documents[at]! >= 0) starts.set(sampleIds[starts.size]!, at);
  }
  return (sample, position) => starts.get(`${sample}`)! + position;
}

/** Every n-th position, where the golden keeps no more. (batch, positions, …) */
function sparse(golden: Golden<Config, Sidecar>, name: string, whole: Tensor): Tensor {
  const stride = Number(/every (\d+)\w+ p/.exec(golden.sidecar.tensors[name]?.what ?? "")?.[1] ?? 1);
  const kept = Array.from({ length: Math.ceil(whole.size(1) / stride) }, (_, index) => index * stride);
  return whole.indexSelect(1, indices(kept));
}

function indices(values: readonly number[]): Tensor {
  return tensor(Int32Array.from(values)).to({ dtype: "int64", device });
}
