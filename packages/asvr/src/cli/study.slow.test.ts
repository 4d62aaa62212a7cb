import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { asvr, type Outcome, readJson, startAsvr, temporaryFolder, writeSettings } from "./fixture.js";

// A study as a user runs it, through the compiled command.

const root = temporaryFolder();
const settings = writeSettings(root);
const study = join(root, "study");
const rows = ["llava", "llava-equal-time", "appearance", "asvr"];
const reproduce = (...args: string[]) => asvr("reproduce", "table1", "--settings", settings, ...args);

let first: Outcome;
beforeAll(async () => {
  first = await reproduce("--out", study, "--json");
}, 180_000);

/** The study again in a folder of its own, for a test that changes it. */
function copyOfStudy(name: string): string {
  const copy = join(root, name);
  cpSync(study, copy, { recursive: true });
  return copy;
}

function startedIn({ stderr }: Outcome): string[] {
  return Array.from(stderr.matchAll(/^(\S+): started$/gm), ([, part]) => part!);
}

test("writes every file that others read", () => {
  expect(first.stderr).toContain("codes: done in");
  expect(first.status).toBe(0);
  const files = ["settings.json", "study.json", "tables.json", "report.html", "report.md", "calibration.json"];
  expect(files.filter((file) => !existsSync(join(study, file)))).toEqual([]);
  for (const row of rows) {
    const run = join(study, `${row}-s0`);
    const splits = ["test-seen", "test-novel"].map((split) => `evaluation/${split}/predictions.jsonl`);
    const own = ["recipe.json", "metrics.jsonl", "result.json", "attention.json", "checkpoints", ...splits];
    expect(own.filter((file) => !existsSync(join(run, file)))).toEqual([]);
    expect(readJson(run, "recipe.json")).toMatchObject({ name: `table1/${row}`, seed: 0, threads: 1 });
  }
  expect(existsSync(join(study, "study.lock"))).toBe(false);
});

test("tables.json has the promised keys", () => {
  const tables = readJson<{ rows: Record<string, unknown>[] }>(study, "tables.json");
  expect(tables).toMatchObject({ table: "table1", scale: "micro" });
  expect(tables.rows.map(({ id }) => id)).toEqual(rows);
  const keys = ["id", "supervision", "alignment", "seeds", "steps", "seconds", "scores", "groups", "mean", "novel"];
  for (const row of tables.rows) {
    expect(Object.keys(row)).toEqual(expect.arrayContaining([...keys, "interval", "intervalKind"]));
  }
  const difference = { against: "llava", mean: expect.any(Number), interval: [expect.any(Number), expect.any(Number)] };
  expect(tables.rows.at(-1)).toMatchObject({
    supervision: "semantic",
    difference: { ...difference, p: expect.any(Number) },
  });
});

test("--json prints one object on standard output, everything else is on standard error", () => {
  expect(JSON.parse(first.stdout)).toMatchObject({ folder: study, table: "table1" });
  expect(startedIn(first).sort()).toEqual(
    ["calibration", "codes", "data", "encoder", "text-lm", "tokenizers", ...rows.map((row) => `${row}-s0`)].sort(),
  );
});

test("says how far the study is over all of its parts", () => {
  expect(first.stderr).toMatch(/^part 1 of 10$/m);
  expect(first.stderr).toMatch(/^parts? .*\b10 of 10, about \d+ s left$/m);
});

test("the same call again does nothing and says so", async () => {
  const before = readJson(study, "study.json");
  const again = await reproduce("--out", study);
  expect(again.status).toBe(0);
  expect(again.stderr).toMatch(/done before: data, .*asvr-s0/);
  expect(again.stderr).toContain(`nothing to do in ${study}`);
  expect(startedIn(again)).toEqual([]);
  expect(again.stdout).toContain("report.html");
  expect(readJson(study, "study.json")).toMatchObject({
    finishedAt: before.finishedAt,
    elapsedSeconds: before.elapsedSeconds,
  });
});

test("another row or seed runs alone; other settings are refused until --fresh", async () => {
  const folder = copyOfStudy("more");
  const more = await reproduce("--out", folder, "--rows", "llava,control", "--seeds", "2");
  expect(startedIn(more).sort()).toEqual(["control-s0", "control-s1", "llava-s1"]);
  const tables = readJson<{ rows: { id: string; seeds: number[] }[] }>(folder, "tables.json");
  expect(tables.rows.map(({ id, seeds }) => ({ id, seeds }))).toEqual([
    { id: "llava", seeds: [0, 1] },
    { id: "control", seeds: [0, 1] },
  ]);

  const refused = await reproduce("--out", folder, "--rows", "llava", "--steps", "5");
  expect(refused).toMatchObject({ status: 2, stdout: "" });
  expect(refused.stderr).toContain(`${folder} holds llava-s0, made with other settings`);
  expect(readJson(folder, "llava-s0", "recipe.json")).toMatchObject({ stages: { tuning: { steps: 4 } } });

  const fresh = await reproduce("--out", folder, "--rows", "llava", "--steps", "5", "--fresh");
  expect(fresh.status).toBe(0);
  expect(startedIn(fresh)).toEqual(["llava-s0"]);
  expect(readJson(folder, "llava-s0", "recipe.json")).toMatchObject({ stages: { tuning: { steps: 5 } } });
});

test("a part that fails is named with the reason, and the next call makes it", async () => {
  const folder = copyOfStudy("damaged");
  const codes = join(folder, "codes", "train.safetensors");
  const whole = readFileSync(codes);
  writeFileSync(codes, whole.subarray(0, 1000));
  for (const row of ["llava", "asvr"]) {
    rmSync(join(folder, `${row}-s0`), { recursive: true });
    rmSync(join(folder, "parts", `${row}-s0.json`));
  }
  const failed = await reproduce("--out", folder, "--rows", "llava,asvr", "--jobs", "1", "--json");
  expect(failed.status).toBe(1);
  expect(failed.stderr).toMatch(/asvr-s0: .*train\.safetensors/);
  const { error } = JSON.parse(failed.stdout);
  expect(error).toMatchObject({ status: 1, message: expect.stringMatching(/^asvr-s0: .*train\.safetensors/) });
  expect(startedIn(failed)).toEqual(["asvr-s0"]); // nothing else is begun after it
  expect(readJson(folder, "parts", "asvr-s0.json")).toMatchObject({ state: "started" });

  writeFileSync(codes, whole);
  const repaired = await reproduce("--out", folder, "--rows", "llava,asvr");
  expect(repaired.status).toBe(0);
  expect(startedIn(repaired).sort()).toEqual(["asvr-s0", "llava-s0"]);
});

test("one folder, one command; a dead one's lock is taken over; the parts of a killed one end by themselves", async () => {
  const folder = join(root, "locked");
  const args = ["reproduce", "table1", "--settings", settings, "--rows", "llava", "--out", folder];
  const one = startAsvr(args);
  while (!existsSync(join(folder, "parts"))) await sleep(20);
  const other = await asvr(...args);
  expect(other.status).toBe(2);
  expect(other.stderr).toContain(`process ${one.pid} is working on ${folder}`);

  process.kill(one.pid, "SIGKILL"); // the command alone, not its parts
  await one.ended; // the parts have its standard error: they have ended too
  expect(readJson(folder, "study.lock")).toMatchObject({ pid: one.pid });
  const after = await asvr(...args);
  expect(after.stderr).not.toContain("is working on");
  expect(after.status).toBe(0);
});

// SIGUSR1 is what batch systems send before time is up.
test.each(["SIGINT", "SIGUSR1"])("%s to all its processes saves and ends with 130", async (signal) => {
  const folder = join(root, `stopped-${signal}`);
  const { pid, ended } = startAsvr(["reproduce", "table1", "--settings", settings, "--rows", "llava", "--out", folder]);
  while (!existsSync(join(folder, "parts", "data.json"))) await sleep(20);
  process.kill(-pid, signal);
  const { status, stderr, stdout } = await ended;
  expect({ status, stdout }).toEqual({ status: 130, stdout: "" });
  expect(stderr).toContain("stopping: saving first");
  expect(stderr).not.toMatch(/debugger/i);
  expect(stderr).toContain(`${folder}: stopped and saved; the same command goes on from here`);
  expect(readJson(folder, "study.json").finishedAt).toBeUndefined();
});

test("--record keeps a finished table with its reading and settings; only it writes there", async () => {
  const results = join(root, "docs", "results");
  expect(existsSync(results)).toBe(false);
  const args = ["reproduce", "table1", "--settings", settings, "--out", study, "--record", "trial"];
  const { status, stderr } = await startAsvr(args, { cwd: root }).ended;
  expect(status, stderr).toBe(0);
  expect(stderr).toContain(`recorded: ${join("docs", "results", "trial.json")}`);
  const recorded = readJson(results, "trial.json");
  expect(recorded).toMatchObject({
    rows: readJson(study, "tables.json").rows,
    settings: readJson(study, "settings.json"),
  });
  expect(recorded).toMatchObject({ command: expect.any(String), date: expect.any(String), reading: expect.any(Array) });
  expect(readFileSync(join(results, "trial.md"), "utf8")).toContain("## A plain reading");
});

test("report writes the report again", async () => {
  const tables = readJson(study, "tables.json");
  rmSync(join(study, "tables.json"));
  const { status, stdout } = await asvr("report", study, "--json");
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ folder: study, table: "table1" });
  expect(readJson(study, "tables.json")).toEqual(tables);
});

test("eval answers the test sets as the study did", async () => {
  const file = join(study, "asvr-s0", "evaluation", "test-seen", "predictions.jsonl");
  const before = readFileSync(file, "utf8");
  const { status, stdout } = await asvr("eval", join(study, "asvr-s0"), "--json");
  expect(status).toBe(0);
  const scores = JSON.parse(stdout);
  expect(scores["test-seen"].questions).toBe(before.split("\n").length - 1);
  expect(readFileSync(file, "utf8")).toBe(before);
});

test("attention takes a picture of any size and format", async () => {
  const image = join(root, "other.jpg");
  await sharp({ create: { width: 301, height: 97, channels: 3, background: "#3a7" } })
    .jpeg()
    .toFile(image);
  const args = ["attention", join(study, "asvr-s0"), "--image", image, "--question", "what at top-left ?"];
  const { status, stdout } = await asvr(...args, "--json");
  expect(status).toBe(0);
  const { answer, grid, attention, byLayer } = JSON.parse(stdout);
  expect(answer).toBeTypeOf("string");
  expect(attention).toHaveLength(grid[0] * grid[1]);
  expect(byLayer).toHaveLength(3);
  const drawn = await asvr(...args);
  expect(drawn.stdout.split("\n").slice(1, -1)).toHaveLength(2 * grid[0]);
});

test("train: a recipe on a study's parts, changed with --set; another recipe is refused in its folder", async () => {
  const before = readFileSync(join(study, "study.json"), "utf8");
  const out = join(root, "trained");
  const args = [
    "train",
    "micro/asvr",
    "--set",
    `startFrom=${study}`,
    "--out",
    out,
    "--set",
    "stages.pretraining.steps=2",
  ];
  const trained = await asvr(...args, "--set", "stages.tuning.steps=4", "--json");
  expect(trained.stderr).toContain("done in");
  expect(trained.status).toBe(0);
  expect(JSON.parse(trained.stdout)).toMatchObject({
    run: out,
    recipe: "table1/asvr",
    stages: { tuning: { steps: 4 } },
    files: { checkpoint: join(out, "checkpoints", "tuning-step-0000004"), evaluation: join(out, "evaluation") },
  });
  expect(existsSync(join(out, "checkpoints", "tuning-step-0000004", "model.safetensors"))).toBe(true);
  expect(readFileSync(join(study, "study.json"), "utf8")).toBe(before); // the study itself is as it was

  const other = await asvr(...args, "--set", "stages.tuning.steps=5");
  expect(other.status).toBe(2);
  expect(other.stderr).toContain("stages.tuning.steps is 4 there, 5 now");
  const row = await asvr("train", "micro/asvr", "--set", `startFrom=${study}`, "--out", join(study, "asvr-s0"));
  expect(row.status).toBe(2);
  expect(row.stderr).toContain("is a row of the study");
  expect((await asvr("eval", out, "--json")).status).toBe(0);
});

test("train makes the parts that the study lacks, trains on them, and answers with them", async () => {
  const steps = ["--set", "stages.pretraining.steps=2", "--set", "stages.tuning.steps=4"];
  const train = (name: string, ...set: string[]) => {
    const settings = set.flatMap((setting) => ["--set", setting]);
    return asvr("train", "micro/asvr", "--set", `startFrom=${study}`, "--out", join(root, name), ...steps, ...settings);
  };
  const lossOf = (name: string) => readFileSync(join(root, name, "metrics.jsonl"), "utf8").match(/"loss":[\d.]+/)![0];
  const made = /^\w+-[0-9a-f]{8}: done/gm;
  const partsIn = ({ stderr }: { stderr: string }) =>
    (stderr.match(made) ?? []).map((line) => line.split("-")[0]).sort();

  const usual = await train("layer-2", "seed=0");
  expect([usual.status, partsIn(usual)], usual.stderr).toEqual([0, []]);
  const last = await train("layer-1", "encoder.selectLayer=-1");
  expect([last.status, partsIn(last)], last.stderr).toEqual([0, ["codes"]]);
  const tokens = await train("codebook", "tokenizers.semantic.codebookSize=64", "tokenizers.appearance.layer=2");
  expect([tokens.status, partsIn(tokens)], tokens.stderr).toEqual([0, ["codes", "tokenizers"]]);
  expect(new Set(["layer-2", "layer-1", "codebook"].map(lossOf)).size).toBe(3);

  const answers = await asvr("eval", join(root, "layer-1"), "--json");
  expect(answers.status, answers.stderr).toBe(0);
  // Its parts are gone: no other study part takes their place in silence.
  const [part] = readdirSync(study).filter((name) => /^tokenizers-[0-9a-f]{8}$/.test(name));
  rmSync(join(study, part!), { recursive: true });
  const refused = await asvr("eval", join(root, "codebook"));
  expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining(`the part ${part}`)]);
}, 240_000);

test("Table 8 and a second language model of Table 2 run through, with parts of their own", async () => {
  const recipes = [
    ["table8", ["llava", "tokenizer-3m", "it-only", "asvr"], ["tokenizers-0.25", "codes-0.25", "text-lm"]],
    [
      "table2",
      ["llava-2m", "asvr-2m", "llava-13b", "asvr-13b"],
      ["text-lm", expect.stringMatching(/^text-lm-13b-shaped-[0-9a-f]{8}$/), "codes"],
    ],
  ] as const;
  for (const [table, rows, parts] of recipes) {
    const file = join(root, `${table}.json`);
    writeFileSync(file, JSON.stringify({ ...readJson(settings), table, rows }));
    const folder = join(root, table);
    const run = await asvr("reproduce", table, "--settings", file, "--out", folder, "--json");
    expect(run.status, run.stderr).toBe(0);
    expect(startedIn(run)).toEqual(expect.arrayContaining([...parts, ...rows.map((row) => `${row}-s0`)]));
    const tables = JSON.parse(run.stdout) as { rows: { id: string; difference?: object }[]; missing: string[] };
    expect(tables.missing).toEqual([]);
    expect(Object.fromEntries(tables.rows.map(({ id, difference }) => [id, difference]))).toMatchObject(
      table === "table8"
        ? { "tokenizer-3m": { against: "asvr" }, "it-only": { against: "asvr" }, asvr: { against: "llava" } }
        : { "asvr-2m": { against: "llava-2m" }, "asvr-13b": { against: "llava-13b" } },
    );
    const again = await asvr("reproduce", table, "--settings", file, "--out", folder);
    expect(startedIn(again)).toEqual([]);
    const plan = await asvr("reproduce", table, "--settings", file, "--out", folder, "--plan", "--json");
    const { steps } = JSON.parse(plan.stdout) as { steps: { state: string }[] };
    expect(new Set(steps.map(({ state }) => state))).toEqual(new Set(["done"]));
  }
  const printed = await asvr("report", join(root, "table8"), join(root, "table2"), "--format", "latex");
  expect(printed.stdout.match(/\\begin\{table\}/g)).toHaveLength(2);
}, 240_000);
