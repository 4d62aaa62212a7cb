import { F, manualSeed, memory, nn, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { randomStates, setRandomStates } from "./random-state.js";
import { withoutDraws } from "./validation.js";

const before = memory().tensors;
const modules = { network: new nn.Linear(2, 3) };
afterAll(() => {
  modules.network.dispose();
  expect(memory().tensors).toBe(before);
});
const draws = () => tidy(() => F.randn([4]).toNumbers());

test("states are kept by kind of device, and the numbers that followed them are drawn again", () => {
  tidy(() => {
    manualSeed(1);
    const states = randomStates(modules);
    expect([...states.keys()]).toEqual(["cpu"]);
    const following = draws();
    // That of a device which the networks are not on is passed over.
    setRandomStates(modules, new Map([...states, ["cuda", F.zeros([16], "uint8")]]));
    expect(draws()).toEqual(following);
  });
});

test("where a state is missing, as an earlier checkpoint's of a device is, its generator stays as it is", () => {
  manualSeed(1);
  const following = draws();
  manualSeed(1);
  setRandomStates(modules, new Map());
  expect(draws()).toEqual(following);
});

test("what draws without draws leaves the generator where it was, also when it fails", async () => {
  manualSeed(1);
  const following = draws();
  manualSeed(1);
  await withoutDraws(modules, draws);
  const failing = withoutDraws(modules, () => {
    draws();
    throw new RangeError("later");
  });
  await expect(failing).rejects.toThrow("later");
  expect(draws()).toEqual(following);
});
