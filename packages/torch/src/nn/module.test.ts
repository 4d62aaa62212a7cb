import { afterEach, expect, test } from "vitest";
import { CheckpointError, F, manualSeed, memory, nn, type Tensor, tensor, tidy } from "../index.js";

const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

class Block extends nn.Module {
  readonly qProj = new nn.Linear(2, 2);
  readonly inputLayernorm = new nn.RMSNorm(2);
}

class Network extends nn.Module {
  readonly embedTokens = new nn.Embedding(3, 2);
  readonly layers = [new Block(), new Block()];
  readonly logitScale = nn.parameter([], (scale) => void scale.fill_(1));
  readonly codebook = nn.buffer(F.zeros([4, 2]));
  readonly width = 2;

  protected override get stateNames() {
    return { embedTokens: "tok_embeddings" };
  }
}

const names = [
  "tok_embeddings.weight",
  "layers.0.q_proj.weight",
  "layers.0.q_proj.bias",
  "layers.0.input_layernorm.weight",
  "layers.1.q_proj.weight",
  "layers.1.q_proj.bias",
  "layers.1.input_layernorm.weight",
  "logit_scale",
  "codebook",
];

test("names come from properties; buffers are state, not parameters", () => {
  using network = new Network();
  tidy(() => expect([...network.stateDict().keys()]).toEqual(names));
  expect(Array.from(network.namedParameters(), ([name]) => name)).toEqual(names.slice(0, -1));
  expect(network.parameterCount()).toBe(6 + 2 * (4 + 2 + 2) + 1);
  expect(network.codebook.requiresGrad).toBe(false);
});

test("a state that is loaded is the one that was saved, in other dtypes too", () => {
  using first = new Network();
  using second = nn.creating({ dtype: "bfloat16" }, () => new Network());
  tidy(() => {
    second.load(first.stateDict());
    for (const [name, value] of first.stateDict()) {
      const loaded = second.stateDict().get(name)!;
      expect(loaded.to("float32").equal(value.to("bfloat16").to("float32"))).toBe(true);
    }
  });
});

test("every missing, unexpected and misshapen weight is listed", () => {
  using network = new Network();
  tidy(() => {
    const weights = network.stateDict();
    weights.delete("logit_scale");
    weights.set("layers.0.q_proj.weight", tensor([[1, 2]]));
    weights.set("lm_head.weight", tensor([1]));
    expect(() => network.load(weights)).toThrow(CheckpointError);
    expect(() => network.load(weights)).toThrow(
      /do not fit Network:\n {2}shape: layers.0.q_proj.weight is \(1, 2\), the model has \(2, 2\)\n {2}missing: logit_scale \(\)\n {2}unexpected: lm_head.weight/,
    );
  });
});

test("with a prefix a module takes its part of a larger checkpoint", () => {
  using network = new Network();
  using block = new Block();
  tidy(() => {
    block.load(network.stateDict(), { prefix: "layers.1." });
    expect(block.qProj.weight.equal(network.layers[1]!.qProj.weight)).toBe(true);
    const weights = block.stateDict();
    weights.set("rotary.inv_freq", tensor([1]));
    expect(() => block.load(weights)).toThrow(/unexpected: rotary.inv_freq/);
    block.load(weights, { allowUnused: true });
  });
});

test("frozen parameters get no gradient", () => {
  using network = new Network();
  tidy(() => {
    network.layers[0]!.setTrainable(false);
    const ids = tensor([0, 1], { dtype: "int64" });
    let hidden: Tensor = network.embedTokens.forward(ids);
    for (const layer of network.layers) hidden = layer.qProj.forward(layer.inputLayernorm.forward(hidden));
    hidden.sum().backward();
    const gradients = network.gradients();
    expect(gradients.get("layers.0.q_proj.weight")).toBeNull();
    expect(gradients.get("layers.1.q_proj.weight")!.shape).toEqual([2, 2]);
    expect(gradients.get("tok_embeddings.weight")!.shape).toEqual([3, 2]);
    expect(gradients.has("codebook")).toBe(false);
  });
});

test("creating sets dtype and leaves values out, for its body alone", () => {
  const dtypeNow = () => {
    using linear = new nn.Linear(2, 2);
    return linear.weight.dtype;
  };
  nn.creating({ dtype: "bfloat16" }, () => {
    expect(dtypeNow()).toBe("bfloat16");
    nn.creating({ dtype: "float64" }, () => expect(dtypeNow()).toBe("float64"));
    expect(() =>
      nn.creating({ dtype: "float64" }, () => {
        throw new RangeError("no");
      }),
    ).toThrow(RangeError);
    expect(dtypeNow()).toBe("bfloat16");
  });
  expect(dtypeNow()).toBe("float32");
});

test("without initialisation no random number is drawn", () => {
  tidy(() => {
    manualSeed(3);
    const next = F.randn([2]).toNumbers();
    manualSeed(3);
    using _ = nn.creating({ initialise: false }, () => new nn.Linear(4, 4));
    expect(F.randn([2]).toNumbers()).toEqual(next);
  });
});

test("a module made inside of a scope outlives it", () => {
  using linear = tidy(() => new nn.Linear(2, 2));
  tidy(() => expect(linear.forward(F.ones([1, 2])).shape).toEqual([1, 2]));
});

test("no more is made than creating allows, and what was made before is freed", () => {
  const before = memory().tensors;
  const build = () => Array.from({ length: 100_000 }, () => new nn.Linear(8, 8));
  const limited = (most: { parameters: number; elements: number }) => () => nn.creating({ most }, build);
  expect(limited({ parameters: 10, elements: 1e9 })).toThrow(/more than 10 parameters or 1000000000 numbers/);
  expect(limited({ parameters: 1e6, elements: 1000 })).toThrow(CheckpointError);
  expect(() => nn.creating({ most: { parameters: 2, elements: 80 } }, () => new nn.Linear(2 ** 30, 2 ** 30))).toThrow(
    /one is \(1073741824, 1073741824\)/,
  );
  expect(memory().tensors).toBe(before);
  using linear = nn.creating({ most: { parameters: 2, elements: 72 } }, () => new nn.Linear(8, 8));
  expect(linear.parameterCount()).toBe(72);
});
