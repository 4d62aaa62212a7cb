import { afterEach, expect, test } from "vitest";
import { DisposedError, F, keep, memory, noGrad, type Tensor, TorchError, tensor, tidy } from "./index.js";

const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

test("tidy frees all but what it returns, in arrays, maps and plain objects", () => {
  const kept = tidy(() => {
    const a = tensor([1, 2, 3]);
    a.exp();
    return { list: [a.mul(2), a.add(1)], map: new Map([["x", a.neg()]]), number: 7, none: null };
  });
  expect(memory().tensors).toBe(before + 3);
  expect(kept.list.map((each) => each.toNumbers())).toEqual([
    [2, 4, 6],
    [2, 3, 4],
  ]);
  expect(kept.map.get("x")!.toNumbers()).toEqual([-1, -2, -3]);
  for (const each of [...kept.list, kept.map.get("x")!]) each.dispose();
});

test("what an inner tidy returns belongs to the outer one", () => {
  let inner: Tensor | undefined;
  tidy(() => {
    inner = tidy(() => tensor([1]).add(1));
    expect(inner.toNumbers()).toEqual([2]);
  });
  expect(inner!.isDisposed).toBe(true);
});

test("a tensor of an outer scope may be returned by an inner one, and is not freed twice", () => {
  tidy(() => {
    const outer = tensor([1, 2]);
    expect(tidy(() => outer)).toBe(outer);
    expect(tidy(() => [outer, outer.add(1)])[0]).toBe(outer);
    expect(outer.toNumbers()).toEqual([1, 2]);
  });
});

test("one tensor returned twice is one tensor", () => {
  tidy(() => {
    const [a, b] = tidy(() => {
      const made = tensor([5]);
      return [made, made];
    }) as [Tensor, Tensor];
    expect(a).toBe(b);
    a.dispose();
    expect(b.isDisposed).toBe(true);
  });
});

test("everything is freed when the body throws, however deep", () => {
  const made: Tensor[] = [];
  const work = () =>
    tidy(() => {
      made.push(tensor([1]));
      tidy(() => {
        made.push(tensor([2]));
        throw new RangeError("no");
      });
    });
  expect(work).toThrow(RangeError);
  expect(made.every((each) => each.isDisposed)).toBe(true);
  tidy(() => expect(() => tensor([1, 2]).mm(tensor([[1]]))).toThrow(TorchError));
});

test("a promise is refused, and what was made is freed", () => {
  expect(() =>
    tidy(async () => {
      tensor([1]);
    }),
  ).toThrow(TypeError);
  expect(() => noGrad(async () => {})).toThrow(/noGrad: the body returned a promise/);
});

test("keep takes a tensor out of every scope", () => {
  const kept = tidy(() => tidy(() => ({ hidden: [keep(tensor([4]))] })).hidden[0]!);
  expect(kept.toNumbers()).toEqual([4]);
  kept.dispose();
});

test("a kept tensor that is returned too is freed by its owner alone", () => {
  let kept: Tensor | undefined;
  tidy(() => {
    kept = tidy(() => keep(tensor([4])));
  });
  expect(kept!.isDisposed).toBe(false);
  kept!.dispose();
});

test("dispose inside of a scope, and twice, frees once", () => {
  tidy(() => {
    const a = tensor([1]);
    const b = tensor([2]);
    a.dispose();
    a.dispose();
    expect(b.toNumbers()).toEqual([2]);
    const c = tensor([3]); // may take the place that `a` had
    expect([b.item(), c.item()]).toEqual([2, 3]);
  });
});

test("a handle that is used again does not revive a freed tensor", () => {
  tidy(() => {
    const freed = tensor([1]);
    freed.dispose();
    tensor([2]);
    expect(() => freed.item()).toThrow(DisposedError);
  });
});

test("using owns a tensor over a scope of its own", () => {
  {
    using a = tensor([1]);
    expect(a.item()).toBe(1);
  }
});

test("many tensors in one scope", () => {
  tidy(() => {
    let x = tensor([0]);
    for (let i = 0; i < 10_000; i++) x = x.add(1);
    expect(x.item()).toBe(10_000);
  });
});

test("noGrad ends with its body, nested or thrown out of", () => {
  tidy(() => {
    const weight = F.ones([2]).setRequiresGrad(true);
    const records = () => weight.mul(2).requiresGrad;
    expect(records()).toBe(true);
    noGrad(() => {
      expect(records()).toBe(false);
      expect(() =>
        noGrad(() => {
          throw new RangeError("no");
        }),
      ).toThrow(RangeError);
      expect(records()).toBe(false);
    });
    expect(records()).toBe(true);
  });
});

test("what backward needs survives the scope it was made in", () => {
  tidy(() => {
    const x = tensor([3]).setRequiresGrad(true);
    const y = tidy(() => x.mul(x).mul(x).sum());
    y.backward();
    expect(x.grad!.toNumbers()).toEqual([27]);
  });
});
