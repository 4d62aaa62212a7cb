import { join } from "node:path";
import { defaultDevice, F, setThreads, type Tensor, tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily, type Tolerance } from "@asvr/torch/testing";
import { expect } from "vitest";
import type { RgbImage } from "../data/images.js";
import { packSamples } from "../data/packing.js";
import { preprocess, siglipPreprocessing } from "../data/preprocess.js";
import { IMAGE_TOKEN_INDEX } from "../data/samples.js";
import { tilesOf } from "../data/tiles.js";
import { tilingOf } from "../data/tiling.js";
import { Decoder } from "../language/decoding/decoder.js";
import { ask, finish } from "../language/decoding/fixture.js";
import type { LlamaContext } from "../language/llama.js";
import { generate } from "../model/generation.js";
import { visibilityMask } from "../model/layout.js";
import type { Llava } from "../model/llava.js";
import type { LlavaNext } from "../model/llava-next.js";
import { embedWithFeatures } from "../model/llava-parts.js";
import { loadLlava, loadLlavaNext } from "./llava.js";
import { llavaName } from "./llava-names.js";

setThreads(1); // test files run side by side

interface Sidecar {
  readonly folder: string;
  readonly gradient_norms: Readonly<Record<string, number>>;
}

goldenFamily<unknown, Sidecar>("c_llava", (golden) => {
  const { forward, gradients } = golden.tolerance;
  using llava = loadLlava(join(golden.folder, golden.sidecar.folder));
  const pixelValues = golden.tensor("in/pixel_values").setRequiresGrad(true);
  const features = llava.imageFeatures(pixelValues);
  expectClose(features, golden.tensor("out/image_features"), forward, "image features");

  const loss = expectLoss(golden, llava, (context) =>
    llava.forward(golden.tensor("in/input_ids"), pixelValues, context),
  );
  loss.backward();
  expectClose(pixelValues.grad!, golden.tensor("grad/in/pixel_values"), gradients, "gradient of the pixels");
  expectGradients(llava, golden, gradients);

  expect(greedy(llava, golden)).toEqual(golden.tensor("generate/out/new_tokens").toNumbers());
  const pictures = llava.imageFeatures(golden.tensor("generate/in/pixel_values")).flatten(0, 1);
  expectGreedy(llava, pictures, golden);
});

interface NextSidecar extends Sidecar {
  readonly image_tokens: readonly number[];
  readonly tiling: { readonly sets: readonly { readonly pinpoints: Pairs; readonly rows: readonly number[][] }[] };
}
type Pairs = readonly (readonly [number, number])[];

goldenFamily<unknown, NextSidecar>("m_llava_next", (golden) => {
  const { forward, gradients } = golden.tolerance;
  using llava = loadLlavaNext(join(golden.folder, golden.sidecar.folder));
  const pixelValues = golden.tensor("in/pixel_values").setRequiresGrad(true);
  const pairs = golden.tensor("in/image_sizes").toNumbers();
  const sizes = golden.sidecar.image_tokens.map((_, i) => ({ height: pairs[2 * i]!, width: pairs[2 * i + 1]! }));
  expect(sizes.map((size) => llava.tiling(size).tokens)).toEqual(golden.sidecar.image_tokens);
  for (const [i, size] of sizes.entries()) {
    const data = golden.tensor(`in/image_${i}`).data() as Uint8Array;
    const seen = seenTiles({ ...size, data }, llava);
    expectClose(seen, pixelValues.select(0, i).narrow(0, 0, seen.size(0)), { rtol: 0, atol: 1e-6 }, `tiles of ${i}`);
  }
  const features = llava.imageFeatures(pixelValues, sizes);
  expectClose(features, golden.tensor("out/image_features"), forward, "image features");

  const loss = expectLoss(golden, llava, (context) => llava.forward(golden.tensor("in/input_ids"), features, context));
  loss.backward();
  expectClose(pixelValues.grad!, golden.tensor("grad/in/pixel_values"), gradients, "gradient of the pixels");
  expectGradients(llava, golden, gradients);

  const picture = llava.imageFeatures(pixelValues.narrow(0, 0, 1), sizes.slice(0, 1));
  expectGreedy(llava, picture, golden);
  for (const { pinpoints, rows } of golden.sidecar.tiling.sets) expectTilings(pinpoints, rows);
});

/** A picture as the model sees it, (1 + tiles, 3, size, size). */
function seenTiles(image: RgbImage, llava: LlavaNext): Tensor {
  const size = llava.config.vision.config.imageSize;
  const tiles = tilesOf(image, llava.tiling(image), size);
  const values = tiles.map((tile) =>
    tensor(preprocess(tile, { ...siglipPreprocessing, size }), { shape: [3, size, size] }),
  );
  return F.stack(values).to({ device: defaultDevice() });
}

/** Of SigLIP so400m; the columns of a row are the sidecar's. */
function expectTilings(pinpoints: Pairs, rows: readonly number[][]): void {
  const settings = {
    ...{ tileSize: 384, patchSize: 14 },
    pinpoints: pinpoints.map(([height, width]) => ({ height, width })),
  };
  for (const row of rows) {
    const [width, height] = row as [number, number];
    const { canvas, resized, shown, tokens } = tilingOf({ width, height }, settings);
    const sizes = [canvas, resized].flatMap((size) => [size.height, size.width]);
    expect([width, height, ...sizes, shown.rows, shown.columns, tokens]).toEqual(row);
  }
}

/** Compares logits and loss. Right padding: padding is no document, so it sees itself only. */
function expectLoss(
  golden: Golden<unknown, Sidecar>,
  model: Llava | LlavaNext,
  statesOf: (context: LlamaContext) => Tensor,
): Tensor {
  const { forward } = golden.tolerance;
  const attentionMask = golden.tensor("in/attention_mask");
  const mask = visibilityMask(attentionMask.sub(1), attentionMask.zerosLike());
  const logits = model.logits(statesOf({ mask }));
  expectClose(logits.mul(attentionMask.unsqueeze(-1)), golden.tensor("out/logits"), forward, "logits");
  const labels = golden.tensor("in/labels");
  const length = labels.size(1);
  const loss = logits
    .narrow(1, 0, length - 1)
    .flatten(0, 1)
    .crossEntropyLoss(labels.narrow(1, 1, length - 1).flatten());
  expectClose(loss, golden.tensor("out/loss"), forward, "loss");
  return loss;
}

function expectGradients(llava: Llava | LlavaNext, golden: Golden<unknown, Sidecar>, tolerance: Tolerance): void {
  const found = llava.gradients();
  const gradientOf = (name: string): Tensor => {
    const gradient = found.get(llavaName(name));
    expect(gradient, `gradient of ${name}`).toBeTruthy();
    return gradient!;
  };
  for (const [name, gradient] of golden.under("grad/weight/")) {
    expectClose(gradientOf(name), gradient, tolerance, `gradient of ${name}`);
  }
  for (const [name, norm] of Object.entries(golden.sidecar.gradient_norms)) {
    expectClose(gradientOf(name).square().sum().sqrt(), tensor(norm), tolerance, `norm of the gradient of ${name}`);
  }
  expect([...found.values()].filter(Boolean).length).toBe(Object.keys(golden.sidecar.gradient_norms).length);
}

/** The golden's tokens, by the decoder. */
function expectGreedy(model: Llava | LlavaNext, features: Tensor, golden: Golden<unknown, Sidecar>): void {
  const ids = golden.tensor("generate/in/input_ids");
  const prompt = embedWithFeatures(model.languageModel, ids, model.config.imageTokenId, features);
  const wanted = golden.tensor("generate/out/new_tokens").toNumbers();
  using decoder = new Decoder(model.languageModel);
  const answer = ask(decoder, prompt, { maxNewTokens: wanted.length });
  finish(decoder);
  expect(answer.ids).toEqual(wanted);
}

/** The golden's tokens, by the generation of packed batches. */
function greedy(llava: Llava, golden: Golden<unknown, Sidecar>): number[] {
  const { positions } = llava.features;
  const ids = golden.tensor("generate/in/input_ids").toNumbers();
  const first = ids.indexOf(llava.config.imageTokenId);
  const inputIds = Int32Array.of(...ids.slice(0, first), IMAGE_TOKEN_INDEX, ...ids.slice(first + positions));
  const sample = { id: "0", image: { key: "0" }, inputIds, labels: inputIds.map(() => -100) };
  const batch = packSamples([sample], { capacity: ids.length, imageTokens: positions, compact: false });
  const pixels = llava.features.forward(golden.tensor("generate/in/pixel_values"));
  const maxNewTokens = golden.tensor("generate/out/new_tokens").elementCount;
  return generate(llava.model, batch, pixels, { eosId: -1, maxNewTokens, device: defaultDevice() })[0]!;
}
