import { expect, test } from "vitest";
import {
  defaultDevice,
  F,
  keep,
  manualSeed,
  memory,
  randomState,
  runtimeInfo,
  setRandomState,
  setThreads,
  TorchError,
  tensor,
  threads,
  tidy,
} from "./index.js";

test("the same seed draws the same numbers, a saved state the numbers that followed it", () => {
  tidy(() => {
    manualSeed(7);
    const first = F.randn([5]).toNumbers();
    const state = randomState();
    expect(state.dtype).toBe("uint8");
    const following = [F.randn([3]).toNumbers(), F.randperm(10).toNumbers(), F.zeros([4]).uniform_(0, 1).toNumbers()];
    F.randn([100]);
    setRandomState(state);
    expect([F.randn([3]).toNumbers(), F.randperm(10).toNumbers(), F.zeros([4]).uniform_(0, 1).toNumbers()]).toEqual(
      following,
    );
    manualSeed(7);
    expect(F.randn([5]).toNumbers()).toEqual(first);
    expect(() => setRandomState(tensor([1, 2]))).toThrow(TorchError);
  });
});

test("a state whose position is past the generator's numbers is refused, every position of its own is taken", () => {
  tidy(() => {
    manualSeed(7);
    for (let drawn = 0; drawn < 1300; drawn += 13) {
      setRandomState(randomState());
      F.rand([13]);
    }
    const drawn = randomState();
    const words = new Int32Array((drawn.data() as Uint8Array<ArrayBuffer>).buffer); // [2]: how many are left, [4]: the next
    [words[2], words[4]] = [624, 624];
    const forged = tensor(new Uint8Array(words.buffer));
    expect(() => setRandomState(forged)).toThrow(/^setRandomState: no generator is at 624 with 624 numbers left/);
    expect(randomState().equal(drawn)).toBe(true);
  });
});

test("a generator of a device that is not there is refused", () => {
  tidy(() => {
    const state = randomState("cpu");
    for (const device of ["cuda:97", "nowhere"]) {
      expect(() => randomState(device), device).toThrow(TorchError);
      expect(() => setRandomState(state, device), device).toThrow(TorchError);
    }
  });
});

test("a seed is a whole number of 64 bits", () => {
  for (const seed of [1.5, Number.NaN, 2 ** 63, "3"]) {
    expect(() => manualSeed(seed as number)).toThrow(`manualSeed(${seed}): a whole number of 64 bits is needed`);
  }
  for (const seed of [-1, 2 ** 60]) manualSeed(seed);
});

test("a state that was kept is not changed by drawing on", () => {
  tidy(() => {
    const state = keep(randomState());
    const copy = state.clone();
    F.randn([1000]);
    expect(state.equal(copy)).toBe(true);
    state.dispose();
  });
});

test("threads are set and read", () => {
  const before = threads();
  setThreads(1);
  expect(threads()).toBe(1);
  setThreads(before);
});

test("threads that cannot be started are refused", () => {
  for (const count of [0, -1, 1.5, 40_000, 1e6, 2 ** 32 + 1, Number.NaN]) {
    expect(() => setThreads(count)).toThrow(`setThreads(${count}): a whole number from 1 to 1024`);
  }
});

test("a device that is not there is refused by name", () => {
  const before = process.env.ASVR_DEVICE;
  try {
    process.env.ASVR_DEVICE = "gpu";
    expect(() => defaultDevice()).toThrow("ASVR_DEVICE is gpu, which is no device");
    process.env.ASVR_DEVICE = "mps:0";
    if (!runtimeInfo().mps) expect(() => defaultDevice()).toThrow("ASVR_DEVICE is mps:0, but libtorch finds no such");
  } finally {
    if (before === undefined) delete process.env.ASVR_DEVICE;
    else process.env.ASVR_DEVICE = before;
  }
});

test("memory counts tensors, and a shared storage once", () => {
  const before = memory();
  tidy(() => {
    const x = F.zeros([256], "float32");
    x.narrow(0, 3, 5);
    expect(memory().tensors).toBe(before.tensors + 2);
    expect(memory().bytes).toBe(before.bytes + 1024);
  });
  expect(memory()).toEqual(before);
});

test("says what is loaded", () => {
  expect(runtimeInfo()).toMatchObject({ libtorch: expect.stringMatching(/^2\./), cpuCapability: expect.any(String) });
});
