import { readFileSync } from "node:fs";
import { join } from "node:path";
import { goldenFiles } from "@asvr/torch/testing";
import { expect, test } from "vitest";
import { scorers } from "./golden-scorers.fixture.js";

interface ScoringGolden {
  function: string;
  cases: { input: unknown; expected: unknown }[];
  /** Where the reference itself fails; what counts there is in its adapter. */
  reference_raises?: { input: unknown }[];
}

// Every scoring golden there is, by the function that it names.
for (const { name, folder } of goldenFiles("scoring")) {
  const golden = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as ScoringGolden;
  const scorer = scorers.find((one) => one.function === golden.function);
  test(`golden ${name}`, (context) => {
    if (!scorer) return context.skip(`no scorer for ${JSON.stringify(golden.function)}`);
    for (const { input, expected } of golden.cases) {
      expectClose(scorer.run(input as never), expected, `${name}: ${JSON.stringify(input)}`);
    }
    for (const { input } of golden.reference_raises ?? []) {
      if (!scorer.whereReferenceFails) expect.fail(`${name}: the reference fails, and nothing says what counts then`);
      scorer.whereReferenceFails(input as never);
    }
  });
}

/** Numbers within 1e-9, everything else exactly. */
function expectClose(got: unknown, want: unknown, what: string): void {
  if (typeof got === "number" && typeof want === "number") {
    expect(Math.abs(got - want), `${what} gave ${got}, not ${want}`).toBeLessThanOrEqual(1e-9);
  } else if (typeof want === "object" && want !== null && typeof got === "object" && got !== null) {
    expect(Object.keys(got).sort(), what).toEqual(Object.keys(want).sort());
    for (const [key, value] of Object.entries(want)) {
      expectClose((got as Record<string, unknown>)[key], value, `${what}, ${key}`);
    }
  } else {
    expect(got, what).toBe(want);
  }
}
