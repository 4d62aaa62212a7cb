import { F, manualSeed, memory, ShapeError, tidy } from "@asvr/torch";
import { expect, test } from "vitest";
import { Dinov3Tower } from "../vision/dinov3.js";
import { dinov3Config } from "../vision/dinov3-hub.js";
import { SiglipVisionTower } from "../vision/siglip.js";
import { AppearanceBranch } from "./appearance-branch.js";
import { AttentionProjection, QuantResnetBlock } from "./quant-blocks.js";
import { SemanticBranch } from "./semantic-branch.js";
import { TextAlignedBranch } from "./text-aligned-branch.js";
import type { VisualTokenizer } from "./visual-tokenizer.js";

const update = { kind: "rq_ema", decay: 0.9, restartBelow: 0.03 } as const;
const quantizer = { codebookSize: 12, depth: 3, shared: false, update };

const small = { intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2, image_size: 8, patch_size: 4 };

function smallTower(): SiglipVisionTower {
  return new SiglipVisionTower({
    dim: 16,
    mlpDim: 32,
    layers: 3,
    heads: 2,
    imageSize: 8,
    patchSize: 4,
    head: "none",
  });
}

const semantic = (tower: SiglipVisionTower) =>
  new SemanticBranch(tower, { layer: -2, normaliseFeatures: true, quantizer });

const appearance = (tower: SiglipVisionTower) =>
  new AppearanceBranch(tower, {
    layer: 1,
    quantizer: { ...quantizer, dim: 8 },
    decoder: { dim: 16, mlpDim: 32, layers: 1, heads: 2 },
    commitmentWeight: 0.25,
  });

const textAligned = (tower: SiglipVisionTower) =>
  new TextAlignedBranch(tower, { layer: -2, quantizer: { ...quantizer, dim: 8 }, commitmentWeight: 0.25 });

test("both branches give codes of the promised shape and embed them cumulatively", () => {
  tidy(() => {
    using tower = smallTower();
    using first = semantic(tower);
    using second = appearance(tower);
    const pixelValues = F.randn([2, 3, 8, 8]);
    const branches: VisualTokenizer[] = [first, second];
    for (const branch of branches) {
      const codes = branch.encode(pixelValues);
      expect(codes.shape).toEqual([2, 4, 3]);
      expect(codes.dtype).toBe("int64");
      expect(branch.embed(codes).shape).toEqual([2, 4, 3, branch.codeDim]);
      expect(branch.codebookTensor().shape).toEqual([3, 12, branch.codeDim]);
    }
    expect([first.codeDim, second.codeDim]).toEqual([16, 8]);
    expect(first.encodeFeatures(tower.hiddenState(pixelValues, -2)).equal(first.encode(pixelValues))).toBe(true);
    expect(second.reconstruct(second.encode(pixelValues)).shape).toEqual([2, 3, 8, 8]);
  });
});

test("the appearance branch learns to reconstruct; the encoder is left as it was", () => {
  tidy(() => {
    manualSeed(0);
    using tower = smallTower();
    using branch = appearance(tower);
    const pixelValues = F.randn([4, 3, 8, 8]);
    const losses: number[] = [];
    for (let step = 0; step < 40; step++) {
      tidy(() => {
        const loss = branch.loss(pixelValues);
        loss.backward();
        losses.push(loss.item());
        for (const parameter of branch.parameters()) {
          parameter.detach().sub_(parameter.grad!, 0.5);
          parameter.grad = null;
        }
      });
    }
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1);
    expect(tower.parameters().every(({ grad }) => grad === null)).toBe(true);
  });
});

test("a semantic branch of a DINOv3 tower quantizes its patches, not its class and register tokens", () => {
  tidy(() => {
    using tower = new Dinov3Tower(dinov3Config({ ...small, hidden_size: 16, num_register_tokens: 3 }));
    using branch = new SemanticBranch(tower, { layer: -2, normaliseFeatures: true, quantizer });
    const pixelValues = F.randn([2, 3, 8, 12]);
    const codes = branch.encode(pixelValues);
    expect(codes.shape).toEqual([2, 6, 3]);
    const patches = tower.hiddenState(pixelValues, -2).narrow(1, 4, 6);
    expect(codes.equal(branch.encodeFeatures(patches))).toBe(true);
    expect(branch.loss(pixelValues).requiresGrad).toBe(false);
  });
});

test("the semantic branch learns by averages alone", () => {
  tidy(() => {
    manualSeed(0);
    using tower = smallTower();
    using branch = semantic(tower);
    expect(branch.parameters()).toEqual([]);
    const pixelValues = F.randn([24, 3, 8, 8]);
    const losses = Array.from({ length: 15 }, () => branch.loss(pixelValues).item());
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    expect(branch.loss(pixelValues).requiresGrad).toBe(false);
  });
});

test("the text-aligned branch learns, through its codes, which text belongs to which picture", () => {
  tidy(() => {
    manualSeed(0);
    using tower = smallTower();
    using branch = textAligned(tower);
    const [patches, texts] = [F.randn([6, 4, 48]), F.randn([6, 16])]; // a picture's patches; what its text says
    const positionIds = F.arange(0, 4, 1, "int64").expand([6, 4]);
    const losses: number[] = [];
    for (let step = 0; step < 60; step++) {
      tidy(() => {
        const { pooled, loss: commitment } = branch.forwardPatches(patches, positionIds);
        const logits = pooled.matmul(texts.t());
        const contrastive = logits.crossEntropyLoss(F.arange(0, 6, 1, "int64"));
        contrastive.add(commitment).backward();
        losses.push(contrastive.item());
        for (const parameter of branch.parameters()) {
          parameter.detach().sub_(parameter.grad!, 0.1);
          parameter.grad = null;
        }
      });
    }
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 2);
    expect(tower.parameters().every(({ grad }) => grad === null)).toBe(true);
    expect(branch.encode(F.randn([2, 3, 8, 8])).shape).toEqual([2, 4, 3]);
  });
});

test("saved and loaded, a branch gives the same codes, and the encoder isn't saved with it", () => {
  tidy(() => {
    using tower = smallTower();
    using trained = appearance(tower);
    using loaded = appearance(tower);
    const pixelValues = F.randn([3, 3, 8, 8]);
    trained.loss(pixelValues);
    loaded.load(trained.stateDict());
    expect(loaded.encode(pixelValues).equal(trained.encode(pixelValues))).toBe(true);
    expect([...trained.stateDict().keys()].every((name) => /^(down|quantizer|decoder)\./.test(name))).toBe(true);
  });
});

test("errors name the values", () => {
  tidy(() => {
    using tower = smallTower();
    using branch = appearance(tower);
    expect(() => branch.reconstruct(F.zeros([1, 5, 3], "int64"))).toThrow(ShapeError);
    expect(() => branch.reconstruct(F.zeros([1, 5, 3], "int64"))).toThrow(/\(1, 5, 8\), expected \(batch, 4, 8\)/);
    expect(() => new AttentionProjection({ inDim: 6, outDim: 4, causal: true })).toThrow(/widths 6 and 4/);
    expect(() => new QuantResnetBlock(32, 48)).toThrow(/32 and 48 channels .* 32 groups/);
  });
});

test("leaves no tensor behind, and the encoder with its owner", () => {
  const before = memory().tensors;
  const tower = smallTower();
  const withTower = memory().tensors;
  {
    using branch = appearance(tower);
    const held = memory().tensors;
    tidy(() => branch.loss(F.randn([2, 3, 8, 8])).backward());
    tidy(() => void branch.reconstruct(branch.encode(F.randn([2, 3, 8, 8]))));
    expect(memory().tensors).toBe(held);
  }
  expect(memory().tensors).toBe(withTower);
  tower.dispose();
  expect(memory().tensors).toBe(before);
});
