// Trains rows for their first steps from a finished study and prints what came of it, to the bit:
//
//     node scripts/first-losses.mjs STUDY [--asvr PATH] [--rows llava,asvr,dual] [--steps 50] [--set PATH=VALUE] [--keep FOLDER]
//
// It prints the losses of each logged step with all their digits, and the SHA-256 of each stage's last weights.
// Only the command `asvr train` is used. So `--asvr` (the file `bin/asvr.js`) may be of another commit's build, and two
// builds agree where `diff` finds the two outputs equal. They do so on one machine with one libtorch alone: STUDY is read
// for its encoder, tokenizers and language model, and its number of threads is used.
//
//     node scripts/first-losses.mjs runs/demo > now.txt
//     node scripts/first-losses.mjs runs/demo --asvr ../before/packages/asvr/bin/asvr.js | diff - now.txt
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    asvr: { type: "string", default: fileURLToPath(new URL("../packages/asvr/bin/asvr.js", import.meta.url)) },
    rows: { type: "string", default: "llava,asvr,dual" },
    steps: { type: "string", default: "50" },
    set: { type: "string", multiple: true, default: [] },
    keep: { type: "string" },
  },
});
const stages = ["pretraining", "tuning"];
const [study] = positionals;
if (!study || !existsSync(join(study, "settings.json"))) {
  throw new Error(`${study ?? "no argument"}: give the folder of a finished study, as npm run demo makes it`);
}
const steps = Number(options.steps);
const root = options.keep ?? (await mkdtemp(join(tmpdir(), "asvr-first-losses-")));
for (const row of options.rows.split(",")) {
  const out = join(root, row);
  const weights = await train(row, out);
  for (const stage of stages) {
    for (const line of await loggedSteps(out, stage)) process.stdout.write(`${row} ${stage} ${line}\n`);
    process.stdout.write(`${row} ${stage} weights ${weights.get(stage)}\n`);
  }
}
if (!options.keep) await rm(root, { recursive: true });

/** Trains a row and returns the SHA-256 of each stage's last weights. */
async function train(row, out) {
  const settings = [
    `startFrom=${resolve(study)}`,
    ...stages.map((stage) => `stages.${stage}.steps=${steps}`),
    ...options.set,
  ];
  const set = settings.flatMap((setting) => ["--set", setting]);
  const child = spawn(process.execPath, [options.asvr, "train", `table1/${row}`, "--out", out, ...set], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const errors = [];
  child.stderr.setEncoding("utf8").on("data", (text) => errors.push(text));
  // A run keeps two checkpoints: that of the first stage may be gone at the end.
  const weights = new Map();
  const look = () => {
    for (const stage of stages) weights.set(stage, weights.get(stage) ?? weightsOf(out, stage));
  };
  const watch = setInterval(look, 200);
  const status = await new Promise((ended) => child.on("close", ended));
  clearInterval(watch);
  if (status !== 0) throw new Error(`asvr train table1/${row} ended with ${status}:\n${errors.join("")}`);
  look();
  return weights;
}

async function loggedSteps(out, stage) {
  const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).split("\n").filter(Boolean);
  return lines
    .map((line) => JSON.parse(line))
    .filter((line) => line.stage === stage)
    .map(({ step, loss, textLoss, visionLoss, gradNorm }) =>
      [step, "loss", loss, "text", textLoss, "vision", visionLoss ?? "-", "gradNorm", gradNorm].join(" "),
    );
}

/** A checkpoint's manifest has the hash of its weights. */
function weightsOf(out, stage) {
  const manifest = join(out, "checkpoints", `${stage}-step-${String(steps).padStart(7, "0")}`, "manifest.json");
  return existsSync(manifest) ? JSON.parse(readFileSync(manifest, "utf8")).files["model.safetensors"] : undefined;
}
