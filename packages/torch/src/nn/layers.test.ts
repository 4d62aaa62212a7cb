import { afterEach, expect, test } from "vitest";
import { defaultDevice, F, memory, nn, type Tensor, tensor, tidy } from "../index.js";
import { expectClose } from "../testing/close.js";

const device = defaultDevice();
const close = { rtol: 1e-5, atol: 1e-5 };
const exact = { rtol: 0, atol: 0 };
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

/** Runs `body` with a module on the test's device; frees both. */
function withModule<M extends nn.Module>(make: () => M, body: (module: M) => void): void {
  using module = nn.creating({ device }, make);
  tidy(() => body(module));
}

const randn = (...shape: number[]) => F.randn(shape, "float32", device);

test("Linear is x Wᵀ + b", () => {
  withModule(
    () => new nn.Linear(3, 2),
    (linear) => {
      const x = randn(4, 5, 3);
      expectClose(linear.forward(x), x.matmul(linear.weight.t()).add(linear.bias!), close);
      const bound = 1 / Math.sqrt(3);
      expect(linear.weight.abs().amax().item()).toBeLessThanOrEqual(bound);
    },
  );
  withModule(
    () => new nn.Linear(3, 2, { bias: false }),
    (linear) => expect([...linear.stateDict().keys()]).toEqual(["weight"]),
  );
});

test("FusedLinear is several Linears under their own names", () => {
  withModule(
    () => new nn.FusedLinear(3, { q_proj: 2, k_proj: 4 }),
    (fused) => {
      const x = randn(5, 3);
      const state = fused.stateDict();
      expect([...state.keys()]).toEqual(["q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias"]);
      const [q, k] = fused.forward(x) as [Tensor, Tensor];
      expectClose(q, F.linear(x, state.get("q_proj.weight")!, state.get("q_proj.bias")), close, "q");
      expectClose(k, F.linear(x, state.get("k_proj.weight")!, state.get("k_proj.bias")), close, "k");
      q.sum().add(k.sum().mul(2)).backward();
      const gradient = fused.gradients().get("k_proj.weight")!;
      expectClose(gradient, x.sum([0]).mul(2).expand([4, 3]), close, "gradient");
    },
  );
});

test("Embedding takes rows", () => {
  withModule(
    () => new nn.Embedding(10, 4, { standardDeviation: 0.02 }),
    (embedding) => {
      const ids = tensor([[3, 0, 3]], { dtype: "int64", device });
      const output = embedding.forward(ids);
      expect(output.shape).toEqual([1, 3, 4]);
      expect(output.select(1, 2).equal(embedding.weight.narrow(0, 3, 1))).toBe(true);
      expect(embedding.weight.abs().amax().item()).toBeLessThan(0.2);
    },
  );
});

test("LayerNorm and RMSNorm over the last dimension", () => {
  withModule(
    () => new nn.LayerNorm(6, 1e-3),
    (norm) => {
      const x = randn(2, 5, 6);
      const centred = x.sub(x.mean([-1], true));
      const plain = centred.mul(centred.square().mean([-1], true).add(1e-3).rsqrt());
      expectClose(norm.forward(x), plain, close);
    },
  );
  withModule(
    () => new nn.RMSNorm(6, 1e-3),
    (norm) => {
      norm.weight.detach().fill_(2);
      const x = randn(2, 5, 6);
      expectClose(norm.forward(x), x.mul(x.square().mean([-1], true).add(1e-3).rsqrt()).mul(2), close);
    },
  );
});

test("GroupNorm over channels in groups and all places", () => {
  withModule(
    () => new nn.GroupNorm(2, 6),
    (norm) => {
      const x = randn(3, 6, 4, 5);
      const grouped = x.view([3, 2, 60]);
      const centred = grouped.sub(grouped.mean([-1], true));
      const plain = centred.mul(centred.square().mean([-1], true).add(1e-5).rsqrt()).view([3, 6, 4, 5]);
      expectClose(norm.forward(x), plain, close);
    },
  );
});

test("Conv2d over patches is a Linear", () => {
  withModule(
    () => new nn.Conv2d(3, 7, 2, { stride: 2 }),
    (convolution) => {
      const x = randn(2, 3, 4, 6);
      const patches = x.view([2, 3, 2, 2, 3, 2]).permute([0, 2, 4, 1, 3, 5]).reshape([2, 2, 3, 12]);
      const plain = F.linear(patches, convolution.weight.view([7, 12]), convolution.bias).permute([0, 3, 1, 2]);
      expectClose(convolution.forward(x), plain, close);
    },
  );
  withModule(
    () => new nn.Conv2d(3, 7, 3, { padding: 1, bias: false }),
    (convolution) => {
      expect(convolution.forward(randn(1, 3, 5, 5)).shape).toEqual([1, 7, 5, 5]);
      expect([...convolution.stateDict().keys()]).toEqual(["weight"]);
    },
  );
});

test("weights that fit are adopted without a copy, fused ones stay apart; the others are converted", () => {
  tidy(() => {
    using own = new nn.FusedLinear(3, { q_proj: 2, k_proj: 4, v_proj: 1 });
    using adopting = new nn.FusedLinear(3, { q_proj: 2, k_proj: 4, v_proj: 1 });
    using plain = new nn.Linear(3, 2);
    const x = F.randn([5, 3]);
    const weights = new Map([...own.stateDict()].map(([name, tensor]) => [name, tensor.clone()]));
    weights.set("k_proj.weight", weights.get("k_proj.weight")!.to("float64"));
    adopting.load(weights, { adopt: true });
    expect(adopting.weight.isDisposed).toBe(true);
    expect([...adopting.stateDict().keys()]).toEqual([...own.stateDict().keys()]);
    for (const [name, tensor] of own.stateDict()) expectClose(adopting.stateDict().get(name)!, tensor, exact, name);
    expectClose(adopting.forwardWhole(x), own.forwardWhole(x), close);
    expectClose(adopting.forwardPart(x, "k_proj", "v_proj"), own.forwardPart(x, "k_proj", "v_proj"), close);
    for (const [index, part] of adopting.forward(x).entries()) expectClose(part, own.forward(x)[index]!, close);

    const whole = F.randn([4, 3]);
    plain.load(
      new Map([
        ["weight", whole.narrow(0, 1, 2)],
        ["bias", F.zeros([2])],
      ]),
      { adopt: true },
    );
    whole.zero_(); // what changes the one changes the other
    expect(plain.weight.toNumbers()).toEqual(Array(6).fill(0));
    // They can be trained as before, and loaded anew.
    adopting.forwardWhole(x).sum().backward();
    expect([...adopting.gradients().values()].every(Boolean)).toBe(true);
    expect(adopting.parameters()).toHaveLength(6);
    plain.forward(x).sum().backward();
    expect(plain.weight.grad).not.toBeNull();
    adopting.load(own.stateDict());
  });
});

test("a transposed weight is copied: parameters are row-major", () => {
  tidy(() => {
    using plain = new nn.Linear(3, 2, { bias: false });
    const turned = F.randn([3, 2]).transpose(0, 1);
    plain.load(new Map([["weight", turned]]), { adopt: true });
    expectClose(plain.weight, turned, exact);
    turned.zero_();
    expect(plain.weight.toNumbers()).not.toContain(0);
  });
});

test("ConvTranspose2d with its kernel as stride is a linear map of each place into its own square", () => {
  withModule(
    () => new nn.ConvTranspose2d(3, 5, 2, { stride: 2 }),
    (convolution) => {
      const x = randn(2, 3, 4, 6);
      const squares = F.linear(x.permute([0, 2, 3, 1]), convolution.weight.view([3, 20]).t()); // (2, 4, 6, 5·2·2)
      const plain = squares.view([2, 4, 6, 5, 2, 2]).permute([0, 3, 1, 4, 2, 5]).reshape([2, 5, 8, 12]);
      expectClose(convolution.forward(x), plain.add(convolution.bias.view([1, 5, 1, 1])), close);
    },
  );
});
