import { expect, test } from "vitest";
import { demoSettings, smallSettings } from "../parts/settings.js";
import type { PartRecord } from "../runs/part-record.js";
import { planStudy } from "./plan.js";
import { Whole } from "./whole.js";

const parts = [
  { name: "data", needs: [], cost: 10 },
  { name: "encoder", needs: ["data"], cost: 20 },
  { name: "text-lm", needs: ["data"], cost: 30 },
  { name: "row", needs: ["encoder", "text-lm"], cost: 10 },
];

const recordOf = (name: string, seconds: number, state: PartRecord["state"] = "done"): PartRecord => {
  return { name, fingerprint: "", state, seconds };
};

/** A study whose clock stands still until it is moved. */
function studyOf(records: PartRecord[], jobs: number) {
  const clock = { seconds: 100 };
  const whole = new Whole(parts, new Map(records.map((record) => [record.name, record])), jobs, () => clock.seconds);
  return { clock, whole };
}

test("the first finished part says how long the others take, side by side where they can be", () => {
  const { clock, whole } = studyOf([], 2);
  whole.start("data");
  expect(whole.progress()).toEqual({ done: 0, running: 1, total: 4 });
  whole.finish("data", recordOf("data", 20)); // twice its cost
  whole.start("encoder");
  whole.start("text-lm");
  expect(whole.progress()).toEqual({ done: 1, running: 2, total: 4, secondsLeft: 60 + 20 });
  clock.seconds += 30;
  expect(whole.progress().secondsLeft).toBe(30 + 20);
  whole.finish("encoder", recordOf("encoder", 30));
  expect(whole.progress().secondsLeft).toBeCloseTo((30 * 50) / 30 - 30 + (10 * 50) / 30);
});

test("a part that says it takes longer is believed; one that takes longer than it should has nothing left", () => {
  const { clock, whole } = studyOf([recordOf("data", 10), recordOf("encoder", 20)], 2);
  whole.start("text-lm");
  whole.update("text-lm", { phase: "text", done: 1, total: 50, secondsLeft: 49 });
  expect(whole.progress().secondsLeft).toBe(49 + 10);
  whole.update("text-lm", { phase: "text", done: 50, total: 50, secondsLeft: 0 });
  clock.seconds += 1000;
  expect(whole.progress().secondsLeft).toBe(10);
});

test("what was done before costs nothing, what was begun costs its rest; one after the other where jobs are 1", () => {
  const { whole } = studyOf([recordOf("data", 10), recordOf("encoder", 15, "started")], 1);
  whole.start("encoder");
  expect(whole.progress()).toEqual({ done: 1, running: 1, total: 4, secondsLeft: 5 + 30 + 10 });
});

test("the parts of the demo cost about the seconds that it took", () => {
  const seconds: Record<string, number> = {
    ...{ data: 32, encoder: 279, "text-lm": 325, tokenizers: 41, codes: 13, calibration: 40 },
    ...{ "asvr-s0": 214, "appearance-s0": 216, "llava-equal-time-s0": 220, "llava-s0": 139 },
  };
  const costs = planStudy(demoSettings, "2.15.0").map(({ name, cost }) => [name, cost / seconds[name]!] as const);
  expect(costs.map(([name]) => name).sort()).toEqual(Object.keys(seconds).sort());
  for (const [name, ratio] of costs) expect(Math.abs(Math.log(ratio)), name).toBeLessThan(Math.log(1.3));
});

test("the rows of the small scale cost about thirty times the baseline of the demo", () => {
  const costOf = (settings: typeof demoSettings, row: string) =>
    planStudy(settings, "2.15.0").find(({ name }) => name === row)!.cost;
  const baseline = costOf(demoSettings, "llava-s0"); // 68 s of training where these were 2084 s and 2116 s
  expect(costOf(smallSettings, "llava-s0") / baseline).toBeGreaterThan(20);
  expect(costOf(smallSettings, "asvr-s0") / baseline).toBeLessThan(45);
});
