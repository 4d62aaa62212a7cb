// Runs every program of examples/ as its first lines say, and looks whether it prints what it should.
// `node scripts/check-examples.mjs [NAME…]`; prints a line for each. They run what is compiled: npm run build.
//
// A new example is a file in examples/ and an entry here.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const goldens = join(root, "packages/asvr/goldens");
// A published folder's form with few, random weights: its answers say nothing, but it is opened and asked as any other.
const tinyModel = join(goldens, "numerics/hf-llava-tiny");
const picture = join(goldens, "images/rgb_120x90.png");

// What `npm run demo -- --quick` makes, which CI runs first.
const study = join(root, "runs/quick");

/** Of each example: what it needs, its arguments, and what it must print, in this order. */
const examples = {
  "torch-alone": {
    args: ["sine.safetensors"],
    prints: [
      /^step 0: loss 0\.\d+$/m,
      /^step 399: loss 0\.000\d$/m,
      /^loaded from sine\.safetensors: the same network$/m,
    ],
  },
  "ask-a-model": {
    args: [tinyModel, picture, "What is it?", "Which colour is it?"],
    prints: [/^What is it\?\n/, /^\(\d+ tokens; end: \w+\)$/m, /^hf-llava-tiny answered 2 of 2 questions$/m],
  },
  "train-own-pictures": {
    prepare: (folder) => {
      assert(existsSync(study), `${study} is not there: npm run demo -- --quick`);
      const answers = { "rgb_120x90.png": "wide", "tall_30x300.png": "tall", "gray_77x51.png": "grey" };
      const records = Object.entries(answers).map(([image, value]) => ({
        id: image,
        image,
        conversations: [
          { from: "human", value: "<image>\nWhat is it?" },
          { from: "gpt", value },
        ],
      }));
      writeFileSync(join(folder, "train.json"), JSON.stringify(records));
    },
    args: [study, "train.json", join(goldens, "images"), "run", "40"],
    prints: [
      /^run$/m,
      /^3 records, 3 pictures: loss \d+\.\d+ to \d+\.\d+$/m,
      /tuning-step-0000040$/m,
      /^ask it: npx asvr chat run /m,
    ],
  },
  "serve-and-ask": {
    args: [tinyModel, picture],
    prints: [/^serving hf-llava-tiny at http:\/\/127\.0\.0\.1:\d+\/v1$/m, /^\d+ tokens read, \d+ tokens answered$/m],
  },
};

const sources = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"));
assert.deepEqual(
  sources.sort(),
  Object.keys(examples)
    .map((name) => `${name}.ts`)
    .sort(),
  "an example has no check here",
);

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(examples, name));
assert(unknown.length === 0, `there is no example ${unknown.join(", ")}`);
for (const [name, example] of Object.entries(examples)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const folder = mkdtempSync(join(tmpdir(), "asvr-example-")); // what it writes goes here
  try {
    const seconds = check(name, example, folder);
    process.stdout.write(`checked  examples/${name}.ts, ${seconds.toFixed(1)} s\n`);
  } catch (error) {
    process.stderr.write(`FAILED   examples/${name}.ts: ${error.message}\n`);
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @returns how many seconds it took */
function check(name, { prepare, args, prints }, cwd) {
  const program = join(root, "examples/dist", `${name}.js`);
  assert(existsSync(program), "it is not compiled: npm run build");
  prepare?.(cwd);
  const started = performance.now();
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: "1" }, // as the tests have it: small tensors gain nothing from more
    timeout: 120_000,
  });
  assert(status === 0, `it ended with ${status ?? signal}\n${stdout}${stderr}`);
  let place = 0;
  for (const pattern of prints) {
    const found = pattern.exec(stdout.slice(place));
    assert(found, `after ${place} characters it does not print ${pattern}\n${stdout}${stderr}`);
    place += found.index + found[0].length;
  }
  return (performance.now() - started) / 1000;
}
