// `npm run test:goldens`: only the comparisons with the reference implementations, a line a file. ASVR_GOLDENS names
// another folder of goldens than the packages' own copies.
import { families } from "../packages/torch/dist/testing/families.js";
import { goldenFiles, goldenRoots } from "../packages/torch/dist/testing/golden-files.js";
import { runTests, summarize } from "./run-tests.mjs";

const { results } = await runTests(["golden.test.ts", ...process.argv.slice(2)], []);
const byName = new Map();
for (const result of results) {
  const name = result.name.replace(/^golden /, "");
  byName.set(name, [...(byName.get(name) ?? []), result]);
}

const lines = [];
const numerics = goldenFiles("numerics");
for (const { name } of numerics) {
  const isKnown = families.some((prefix) => name.startsWith(prefix));
  lines.push(lineOf(name, isKnown ? "no test of this family yet" : "no family has this prefix"));
}
for (const { name } of goldenFiles("scoring")) lines.push(lineOf(name, "no test of this function yet"));
for (const prefix of families) {
  if (!numerics.some(({ name }) => name.startsWith(prefix))) {
    lines.push({ name: prefix, state: "skipped", why: "no file of this family" });
    byName.delete(`${prefix}: no file of this family`);
  }
}
// What belongs to no file: a test file that could not be loaded.
for (const [name, [result]] of byName) lines.push({ ...result, name });

for (const { name, state, why } of lines) {
  process.stdout.write(`golden ${name} ${state}${why ? `: ${why.split("\n")[0]}` : ""}\n`);
}
const { passed, failed } = summarize(lines);
if (passed === 0) process.stderr.write(`no golden passed; looked in ${goldenRoots().join(", ") || "no folder"}\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/** A file that several tests read has failed where one did, and has passed where none did and one passed. */
function lineOf(name, whySkipped) {
  const found = byName.get(name) ?? [];
  byName.delete(name);
  for (const state of ["failed", "passed", "skipped"]) {
    const result = found.find((each) => each.state === state);
    if (result) return { name, state, why: state === "passed" ? "" : result.why };
  }
  return { name, state: "skipped", why: whySkipped };
}
