import { defaultDevice, nn } from "@asvr/torch";
import { expectClose, goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { type HubSiglipVision, siglipVisionConfig } from "../vision/siglip-hub.js";
import { SiglipTokenizer } from "./siglip-tokenizer.js";

interface VilauGolden {
  readonly vision_config: HubSiglipVision & { readonly num_hidden_layers: number };
  readonly n_embed: number;
  readonly depth: number;
  readonly shared_codebook: boolean;
  readonly embed_dim: number;
}

goldenFamily<VilauGolden>("e_vilau", (golden) => {
  const { vision_config: hub, n_embed: codebookSize, depth, shared_codebook: shared, embed_dim: dim } = golden.config;
  const { forward } = golden.tolerance;
  // The last layer is neither used nor stored.
  const vision = siglipVisionConfig({ ...hub, num_hidden_layers: hub.num_hidden_layers - 1 }, "none");
  const config = { vision, layer: -1, projected: false, quantizer: { dim, codebookSize, depth, shared } };
  using tokenizer = nn.creating({ device: defaultDevice() }, () => new SiglipTokenizer(config));
  tokenizer.load(golden.weights());

  const pixelValues = golden.tensor("in/pixel_values");
  const features = tokenizer.features(pixelValues);
  expectClose(features, golden.tensor("out/features"), forward, "features");
  const wanted = golden.tensor("out/codes").flatten(1, 2); // (batch, positions, D)
  // A near tie may go either way, and then everything after it differs.
  const tiesUpTo = golden.tensor("out/code_margin").flatten(1, 2).lt(1e-4).to("int64").cumsum(-1);
  const same = tokenizer.encode(pixelValues).eq(wanted);
  expect(same.logicalOr(tiesUpTo.gt(0)).all().item(), "codes").toBe(1);

  const cumulative = tokenizer.embed(wanted);
  expectClose(cumulative, golden.tensor("out/quantized_per_depth").flatten(1, 2), forward, "running sums");
  expectClose(cumulative.select(-2, depth - 1), golden.tensor("out/quantized").flatten(1, 2), forward, "quantized");
  const vectors = golden.tensor("out/code_embeddings").flatten(1, 2); // each depth's own
  expectClose(cumulative, vectors.cumsum(-2), forward, "embedded codes");
});
