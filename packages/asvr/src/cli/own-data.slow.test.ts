import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { tinyFolder } from "../chat/fixture.js";
import type { Fault } from "../fault.js";
import { type PlantedData, plantFaults } from "./faults.fixture.js";
import { asvr, readJson, startAsvr, temporaryFolder, writeSettings } from "./fixture.js";

// A user's own pictures and records, through the compiled command: checked, trained on, asked about, explained.

const root = temporaryFolder();
const study = join(root, "study");
const steps = ["--set", "stages.pretraining.steps=2", "--set", "stages.tuning.steps=4"];
let planted: PlantedData;
beforeAll(async () => {
  planted = await plantFaults(root);
  const made = await asvr("reproduce", "table1", "--settings", writeSettings(root), "--rows", "llava", "--out", study);
  expect(made.status, made.stderr).toBe(0);
}, 120_000);

const train = (out: string, file: string, ...more: string[]) => {
  const own = ["--set", `data.tuning=${file}`, "--set", `data.images=${planted.imagesFolder}`];
  return asvr(
    "train",
    "micro/asvr",
    ...own,
    "--set",
    `startFrom=${study}`,
    ...steps,
    "--out",
    join(root, out),
    ...more,
  );
};

/** The good records of the planted file alone. */
function goodFile(): string {
  const all = readFileSync(planted.file, "latin1").split(",\n").join("\n").split("\n").slice(1);
  const file = join(root, "good.json");
  writeFileSync(file, `[${planted.good.map((index) => all[index]).join(",")}]`, "latin1");
  return file;
}

test("data check finds every planted fault and names it right", async () => {
  expect(planted.faults.length).toBeGreaterThanOrEqual(30);
  expect(new Set(planted.faults.map(({ kind }) => kind)).size).toBeGreaterThanOrEqual(20);
  const { status, stdout } = await asvr("data", "check", planted.file, "--images", planted.imagesFolder, "--json");
  expect(status).toBe(1);
  const found = JSON.parse(stdout) as { records: number; pictures: number; bad: number; faults: Fault[] };
  expect(found.faults.map(({ index, kind }) => ({ index, kind }))).toEqual(planted.faults);
  expect(found).toMatchObject({
    records: planted.faults.length + planted.good.length,
    pictures: 8,
    bad: planted.faults.length,
  });
  for (const { file, message } of found.faults) {
    expect(file).toBe(planted.file);
    expect(message).toMatch(/\S.*\.$/);
  }
});

test("as many as are allowed are no failure; in words, each fault is a line", async () => {
  const allowed = ["--max-bad", String(planted.faults.length)];
  const { status, stdout } = await asvr("data", "check", planted.file, "--images", planted.imagesFolder, ...allowed);
  expect(status).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  expect(lines).toHaveLength(planted.faults.length + 1);
  expect(lines[0]).toContain(`${planted.file}[10].image: corrupt-image: cut.jpg: `);
  expect(lines.at(-1)).toContain(`${planted.faults.length} are faulty (`);
});

test.each([
  ["not-an-array", '{"id": "a"}'],
  ["not-an-array", ""],
  ["truncated-file", '[{"id": "a", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "val'],
  ["invalid-json", "[] {}"],
  ["no-records", "[]"],
])("a file that is no list of records is one fault: %s %j", async (kind, content) => {
  const file = join(root, "broken.json");
  writeFileSync(file, content);
  const { status, stdout } = await asvr("data", "check", file, "--json", "--max-bad", "0");
  expect(status).toBe(1);
  expect(JSON.parse(stdout).faults).toMatchObject([{ file, index: -1, field: "", kind }]);
});

test("train, eval, attention: on good records, with a picture of each kind", async () => {
  const file = goodFile();
  const trained = await train("mine", file, "--json");
  expect(trained.status, trained.stderr).toBe(0);
  expect(trained.stderr).toContain(`${file}: ${planted.good.length} records, 8 pictures`);
  const run = join(root, "mine");
  expect(readJson(run, "recipe.json")).toMatchObject({ startFrom: study, data: { tuning: file } });
  expect(existsSync(join(run, "checkpoints", "tuning-step-0000004"))).toBe(true);
  expect(readFileSync(join(run, "tokenizer.json"), "utf8")).toContain('" colour"'); // its words are tokens
  const made = JSON.parse(trained.stdout);
  expect(made).toMatchObject({
    run,
    recipe: "table1/asvr",
    seed: 0,
    stages: {
      pretraining: { steps: 2, loss: expect.any(Number), seconds: expect.any(Number) },
      tuning: { steps: 4, visionLoss: expect.any(Number), records: planted.good.length, pictures: 8, bad: 0 },
    },
    parameters: { language: expect.any(Number) },
  });
  for (const path of Object.values<string>(made.files)) expect(existsSync(path), path).toBe(true);

  const args = ["eval", run, "--data", file, "--images", planted.imagesFolder];
  const evaluated = await asvr(...args, "--json");
  expect(evaluated.status, evaluated.stderr).toBe(0);
  const scores = JSON.parse(evaluated.stdout);
  expect(scores).toMatchObject({
    records: planted.good.length,
    questions: planted.good.length + 1, // one record has two
    bad: 0,
    seenPictures: 8,
    interval: [expect.any(Number), expect.any(Number)],
  });
  expect(readJson(run, "evaluation", "good", "scores.json")).toEqual(scores);
  const answers = readFileSync(join(run, "evaluation", "good", "predictions.jsonl"), "utf8")
    .trimEnd()
    .split("\n");
  expect(answers.map((line) => JSON.parse(line).id)).toContain("17#2");
  const told = (await asvr(...args)).stdout;
  expect(told).toMatch(/exact match +\d+\.\d +95% interval/);
  expect(told).toMatch(/most frequent answer .*\n +to each question +\d/);
  expect(told).toContain(`${scores.questions} questions (${scores.questions - 1} about 8 pictures, 1 without one)`);
  expect(told).toContain(`wrote ${join(run, "evaluation", "good")}: predictions.jsonl, scores.json`);

  const image = join(planted.imagesFolder, "sub folder", "tall.png");
  const asked = await asvr("attention", run, "--image", image, "--question", "What colour is it?", "--json");
  expect(JSON.parse(asked.stdout).attention).toHaveLength(16);
}, 120_000);

test("a published model is asked the same records, beside a run; its folder stays as it is", async () => {
  const file = goodFile();
  const model = join(root, "published");
  cpSync(tinyFolder, model, { recursive: true });
  const before = readdirSync(model);
  const own = ["--data", file, "--images", planted.imagesFolder, "--max-new-tokens", "3"];
  const out = join(root, "answers");
  const asked = await asvr("eval", model, ...own, "--baseline", join(study, "llava-s0"), "--out", out, "--json");
  expect(asked.status, asked.stderr).toBe(0);
  const scores = JSON.parse(asked.stdout);
  const questions = planted.good.length + 1;
  expect(scores).toMatchObject({ run: model, out, questions, withoutPicture: 1, seenPictures: null, refused: 0 });
  expect(scores.against).toMatchObject({ baseline: join(study, "llava-s0"), questions, interval: [0, 0], p: 1 });
  expect(readJson(out, "scores.json")).toEqual(scores);
  expect(readJson(out, "baseline", "scores.json")).toMatchObject({ run: join(study, "llava-s0"), questions });
  expect(asked.stderr).toContain(`wrote ${out}: predictions.jsonl, scores.json, baseline/predictions.jsonl`);

  const cwd = join(root, "elsewhere");
  mkdirSync(cwd);
  const plain = await startAsvr(["eval", model, ...own], { cwd }).ended;
  expect(plain.status, plain.stderr).toBe(0);
  expect(plain.stdout).toContain("wrote runs/evaluation/published/good: predictions.jsonl, scores.json");
  const lines = (folder: string) => readFileSync(join(folder, "predictions.jsonl"), "utf8");
  expect(lines(join(cwd, "runs/evaluation/published/good"))).toBe(lines(out));
  expect(readdirSync(model)).toEqual(before);

  const noData = await asvr("eval", model);
  expect(noData).toMatchObject({ status: 2, stderr: expect.stringContaining("--data FILE") });
}, 120_000);

test("faulty records stop the training before it begins; allowed, they are left out and listed", async () => {
  const refused = await train("refused", planted.file);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain(
    `${planted.faults.length} of ${planted.faults.length + planted.good.length} records`,
  );
  expect(refused.stderr).toContain(`--max-bad ${planted.faults.length}`);
  expect(existsSync(join(root, "refused", "metrics.jsonl"))).toBe(false); // no step of the stage before either

  const allowed = await train("allowed", planted.file, "--max-bad", String(planted.faults.length));
  expect(allowed.status, allowed.stderr).toBe(0);
  const note = readJson<{ records: number; bad: number; faults: Fault[] }>(root, "allowed", "data", "tuning.json");
  expect(note).toMatchObject({ records: planted.good.length, bad: planted.faults.length });
  expect(note.faults.map(({ index }) => index)).toEqual(planted.faults.map(({ index }) => index));
}, 120_000);

test.each([
  ["no record", "[]", 1, "no-records"],
  ["nothing", "", 1, "not-an-array"],
])(
  "a file with %s stops a run before a step, and before the parts of a new study",
  async (name, text, status, message) => {
    const file = join(root, `${name}.json`);
    writeFileSync(file, text);
    const out = join(root, "stopped");
    for (const data of ["captions", "tuning"]) {
      const own = ["--set", `data.${data}=${file}`, "--set", `data.images=${planted.imagesFolder}`];
      const args = ["train", "micro/llava", ...own, ...steps, "--out", out];
      const onStudy = await asvr(...args, "--set", `startFrom=${study}`);
      expect(onStudy.status).toBe(status);
      expect(onStudy.stderr).toContain(message);
      expect(existsSync(join(out, "metrics.jsonl"))).toBe(false);

      const elsewhere = join(root, `new-${data}`);
      mkdirSync(elsewhere, { recursive: true });
      const onNone = await startAsvr(args, { cwd: elsewhere }).ended;
      expect(onNone.status).toBe(status);
      expect(onNone.stderr).toContain(message);
      expect(existsSync(join(elsewhere, "runs"))).toBe(false);
    }
  },
  120_000,
);

test("repaired under another name, the data is taken by the same run folder; moved later, it is the same data", async () => {
  const bad = await train("repaired", planted.file);
  expect(bad.status).toBe(1);
  const file = goodFile();
  const repaired = await train("repaired", file);
  expect(repaired.status, repaired.stderr).toBe(0);
  const moved = join(root, "moved.json");
  writeFileSync(moved, readFileSync(file));
  const again = await train("repaired", moved);
  expect(again.status, again.stderr).toBe(0);
  expect(readJson(root, "repaired", "recipe.json")).toMatchObject({ data: { tuning: moved } });

  writeFileSync(moved, JSON.stringify(JSON.parse(readFileSync(file, "utf8")).slice(1)));
  const other = await train("repaired", moved);
  expect(other.status).toBe(2);
  expect(other.stderr).toContain("was begun with other data");
}, 120_000);

test("a run goes on with the data that it was begun with, and with no other", async () => {
  const folder = join(root, "changing");
  mkdirSync(folder);
  const picture = (colour: string) =>
    sharp({ create: { width: 8, height: 8, channels: 3, background: colour } })
      .png()
      .toFile(join(folder, "a.png"));
  await picture("#123");
  const file = join(folder, "a.json");
  const conversations = [
    { from: "human", value: "<image>\nWhat?" },
    { from: "gpt", value: "blue" },
  ];
  writeFileSync(file, JSON.stringify([{ id: "a", image: "a.png", conversations }]));
  const args = ["train", "micro/llava", "--set", `data.tuning=${file}`, "--set", `data.images=${folder}`];
  const run = () =>
    asvr(...args, "--set", `startFrom=${join(study, "llava-s0")}`, ...steps, "--out", join(root, "again"));
  const first = await run();
  expect(first.status, first.stderr).toBe(0);
  expect(first.stderr).not.toContain("pretraining"); // the row that it starts from has that behind it
  expect((await run()).status).toBe(0);
  await picture("#321");
  const other = await run();
  expect(other.status).toBe(2);
  expect(other.stderr).toContain("was begun with other data");
}, 120_000);
