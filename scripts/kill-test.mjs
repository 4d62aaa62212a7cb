// Kills a study again and again and compares what it comes to with an unbroken one:
//
//     node scripts/kill-test.mjs [--kills 10] [--seed 1] [--steps 120] [--rows llava,appearance,asvr] [--keep FOLDER]
//
// A small study (`asvr reproduce table1 --settings …`) runs twice, in two folders. One is left alone. The other is
// ended at random moments: while the shared parts are made, and in both stages of the rows. By turns the whole process
// group is killed with -9, the command alone is (its parts then save and end by themselves), or it gets Ctrl-C. After
// each the same command is given again. At the end weights, optimizer and random state of every part and row (sha256),
// metrics but for their times, answers and attention maps must be equal.
//
// Prints a line a kill and a last line; exit status 0 when everything is equal. Needs the compiled code (`npm run build`).
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    kills: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 100_000) },
    steps: { type: "string", default: "120" },
    rows: { type: "string", default: "llava,appearance,asvr" },
    keep: { type: "string" },
  },
});
const kills = Number(options.kills);
const rows = options.rows.split(",");
const random = randomOf(Number(options.seed));
const asvr = fileURLToPath(new URL("../packages/asvr/bin/asvr.js", import.meta.url));

const { demoSettings, quickened } = await import("../packages/asvr/dist/parts/settings.js");
const quick = quickened(demoSettings);
const small = (training, steps) => ({ ...training, steps, batchSize: 8 });
const settings = {
  ...quick,
  rows,
  world: { encoder: 40, text: 40, train: 40, test: 8, novel: 6, questionsPerImage: 4 },
  encoder: { cells: small(quick.encoder.cells, 12), scenes: small(quick.encoder.scenes, 8) },
  tokenizers: { semantic: small(quick.tokenizers.semantic, 8), appearance: small(quick.tokenizers.appearance, 8) },
  languageModel: small(quick.languageModel, 12),
  steps: { pretraining: Math.ceil(Number(options.steps) / 2), tuning: Number(options.steps) },
  saveEverySeconds: 0.2,
};

const folder = options.keep ?? (await mkdtemp(join(tmpdir(), "asvr-kill-test-")));
await mkdir(folder, { recursive: true });
const file = join(folder, "kill-test.json");
await writeFile(file, JSON.stringify(settings));
const [unbroken, broken] = [join(folder, "unbroken"), join(folder, "broken")];

await finish(start(unbroken));
process.stdout.write(`unbroken study: done; seed ${options.seed} draws the kills\n`);
const ways = ["kill -9 of the group", "kill -9 of the command", "Ctrl-C"];
let killed = 0;
for (let attempt = 0; attempt < kills; attempt++) {
  const rowsBegan = rows.some((row) => existsSync(join(broken, "parts", `${row}-s0.json`)));
  const aim = attempt === 0 || !rowsBegan ? "shared" : attempt % 2 === 1 ? "pretraining" : "tuning";
  const way = ways[attempt % ways.length];
  const where = await endDuring(aim, way);
  if (!where) break; // the study was faster than all these kills
  killed++;
  process.stdout.write(`kill ${killed}: ${way}, ${where}\n`);
}
await finish(start(broken));

const wrong = await differences();
for (const difference of wrong) process.stdout.write(`different: ${difference}\n`);
const enough = killed >= Math.min(kills, 2);
process.stdout.write(
  `${killed} kills; ${wrong.length === 0 ? "weights, metrics, answers and attention equal those of the unbroken study" : `${wrong.length} differences`}\n`,
);
if (!options.keep) await rm(folder, { recursive: true, force: true });
process.exitCode = wrong.length === 0 && enough ? 0 : 1;

/** The command in a process group of its own, as a terminal starts it. */
function start(out) {
  const child = spawn(process.execPath, [asvr, "reproduce", "table1", "--settings", file, "--out", out], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const output = [];
  child.stderr.setEncoding("utf8").on("data", (text) => output.push(text));
  // Children keep standard error open: "exit", for the command alone.
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  return { child, ended, output };
}

async function finish({ ended, output }) {
  const { code } = await ended;
  if (code !== 0) throw new Error(`the study ended with ${code}:\n${output.join("")}`);
}

/** Starts the study, ends it soon after it has saved something new in the stage, and says where it stood. */
async function endDuring(aim, way) {
  const begun = Date.now();
  const study = start(broken);
  let result;
  study.ended.then((end) => {
    result = end;
  });
  // When every row is past the stage, any of its checkpoints will do.
  const isTime = async () => (await newest(aim, begun)) ?? (Date.now() - begun > 4000 && (await newest("", begun)));
  while (!result && !(await isTime())) await sleep(20);
  if (!result) await sleep(random() * 600);
  if (result) {
    if (result.code !== 0) throw new Error(`the study ended with ${result.code}:\n${study.output.join("")}`);
    return undefined;
  }
  const where = await newest(undefined, begun);
  const { pid } = study.child;
  if (way === "Ctrl-C") process.kill(-pid, "SIGINT");
  else process.kill(way.endsWith("group") ? -pid : pid, "SIGKILL");
  const { code, signal } = await study.ended;
  // "SIGINT": it had not begun yet. Status 0: it was done.
  if (way === "Ctrl-C" && code !== 0 && code !== 130 && signal !== "SIGINT")
    throw new Error(`Ctrl-C gave status ${code}:\n${study.output.join("")}`);
  return where ? `newest checkpoint ${where}` : "nothing saved yet";
}

/** The newest checkpoint since a time: of anything, of the shared parts, or of a stage of the rows ("": either). */
async function newest(aim, since) {
  let found;
  for (const checkpoints of await foldersNamed(broken, "checkpoints")) {
    const isRow = rows.some((row) => checkpoints.includes(`/${row}-s`));
    for (const name of await readdir(checkpoints).catch(() => [])) {
      if (name.startsWith(".")) continue;
      if (aim === "shared" ? isRow : aim !== undefined && !(isRow && name.startsWith(aim))) continue;
      const time = (await stat(join(checkpoints, name)).catch(() => undefined))?.mtimeMs ?? 0;
      if (time > since && time > (found?.time ?? 0))
        found = { time, name: join(checkpoints, name).slice(broken.length + 1) };
    }
  }
  return found?.name.replace("/checkpoints/", ", ");
}

async function foldersNamed(root, name) {
  if (!existsSync(root)) return [];
  const found = [];
  for (const entry of await readdir(root, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory() || entry.name === "data") continue;
    const path = join(root, entry.name);
    if (entry.name === name) found.push(path);
    else found.push(...(await foldersNamed(path, name)));
  }
  return found;
}

/** Files that are not equal in both studies. */
async function differences() {
  const [first, second] = [await contents(unbroken), await contents(broken)];
  const names = new Set([...first.keys(), ...second.keys()]);
  return [...names].filter((name) => first.get(name) !== second.get(name)).sort();
}

/** What must be equal, by name: of a run's checkpoints the last one, which has the final weights. */
async function contents(root) {
  const found = new Map();
  const sha256 = async (path) =>
    createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
  for (const checkpoints of await foldersNamed(root, "checkpoints")) {
    const last = new Map();
    for (const name of (await readdir(checkpoints)).filter((name) => !name.startsWith(".")).sort())
      last.set(name.split("-step-")[0], name);
    const stage = ["tuning", "scenes"].find((stage) => last.has(stage)) ?? [...last.keys()][0];
    for (const part of ["model", "optimizer", "random"]) {
      const path = join(checkpoints, last.get(stage), `${part}.safetensors`);
      found.set(path.slice(root.length + 1), await sha256(path));
    }
    const metrics = join(checkpoints, "..", "metrics.jsonl");
    const timeless = (await readFile(metrics, "utf8")).split("\n").filter(Boolean).map(withoutTimes);
    found.set(metrics.slice(root.length + 1), timeless.join("\n"));
  }
  for (const row of rows) {
    for (const name of [
      "attention.json",
      "evaluation/test-seen/predictions.jsonl",
      "evaluation/test-novel/predictions.jsonl",
    ])
      found.set(`${row}-s0/${name}`, await sha256(join(root, `${row}-s0`, name)));
  }
  return found;
}

function withoutTimes(line) {
  const { samplesPerSecond, elapsedSeconds, memoryBytes, ...rest } = JSON.parse(line);
  return JSON.stringify(rest);
}

/** Numbers in [0, 1) from a seed (mulberry32). */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
