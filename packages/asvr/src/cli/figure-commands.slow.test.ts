import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noGrad, readSafetensors, readSafetensorsHeader, setThreads, tidy } from "@asvr/torch";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { nearestPictures } from "../analysis/nearest-pictures.js";
import { tinyFolder, tinyNextFolder } from "../chat/fixture.js";
import { openChatModel } from "../chat/open.js";
import type { RunChat } from "../chat/run-chat.js";
import { packSamples } from "../data/packing.js";
import { buildSample } from "../data/samples.js";
import { templates } from "../language/conversation.js";
import { PictureEncoder } from "../parts/own-pictures.js";
import { asvr, readJson, temporaryFolder, writeSettings } from "./fixture.js";

// What shows how a model sees a picture, through the compiled command.

setThreads(1); // test files run side by side
const root = temporaryFolder();
const study = join(root, "study");
const run = join(study, "asvr-s0");
const image = join(root, "picture.jpg");
beforeAll(async () => {
  // In float32: numbers are compared with those of forward passes of other shapes.
  const options = ["--settings", writeSettings(root), "--rows", "llava,asvr", "--matmul", "float32", "--out", study];
  const made = await asvr("reproduce", "table1", ...options);
  expect(made.status, made.stderr).toBe(0);
  await sharp({ create: { width: 120, height: 60, channels: 3, background: "#3a7" } })
    .jpeg()
    .toFile(image);
}, 180_000);

const ask = (checkpoint: string, ...more: string[]) =>
  asvr("attention", checkpoint, "--image", image, "--question", "what at top-left ?", ...more);

test("attention of a run beside another: overlay, raw weights, one JSON object", async () => {
  const out = join(root, "attention");
  const { status, stdout, stderr } = await ask(run, "--baseline", join(study, "llava-s0"), "--out", out, "--json");
  expect(status, stderr).toBe(0);
  const found = JSON.parse(stdout);
  expect(found).toMatchObject({ checkpoint: run, grid: [4, 4], at: "before", baseline: { grid: [4, 4] } });
  expect(found.onPicture).toBeCloseTo(
    found.attention.reduce((sum: number, value: number) => sum + value, 0),
    6,
  );
  expect(readJson(out, "attention.json")).toEqual(found);
  expect(stderr).toContain(`wrote ${out}: overlay.png, attention.json, attention.safetensors`);
  const { entries } = readSafetensorsHeader(join(out, "attention.safetensors"));
  const shapes = Array.from(entries, ([name, { shape }]) => [name, shape]);
  expect(Object.fromEntries(shapes)).toEqual({
    before: [3, 4, 4, 4],
    after: [3, 4, 4, 4],
    "baseline.before": [3, 4, 4, 4],
    "baseline.after": [3, 4, 4, 4],
  });
  expect(readFileSync(join(out, "index.html"), "utf8").match(/<svg class="overlay"/g)).toHaveLength(2);
  expect((await sharp(join(out, "overlay.png")).metadata()).width).toBe(16 + 3 * 400);
}, 60_000);

test("chosen layers and heads, after the answer; published folders too", async () => {
  for (const [folder, cells] of [
    [tinyFolder, 9],
    [tinyNextFolder, 16],
  ] as const) {
    const args = ["--at", "after", "--layers", "1", "--heads", "0,2", "--max-new-tokens", "2", "--json"];
    const { status, stdout, stderr } = await ask(folder, ...args);
    expect(status, stderr).toBe(0);
    const { attention, byLayer, layers, heads } = JSON.parse(stdout);
    expect({ layers, heads }).toEqual({ layers: [1], heads: [0, 2] });
    expect(attention).toHaveLength(cells);
    expect(attention).toEqual(byLayer[1]);
  }
}, 60_000);

test("a set of cases is one page that needs nothing else", async () => {
  const cases = join(root, "cases.json");
  const questions = ["what <b>now</b> ?", "how many ?"];
  writeFileSync(cases, JSON.stringify(questions.map((question) => ({ image: "picture.jpg", question }))));
  const out = join(root, "page");
  const { status, stdout, stderr } = await asvr("attention", run, "--cases", cases, "--out", out);
  expect(status, stderr).toBe(0);
  expect(stdout.split("\n\n").length).toBe(1);
  const page = readFileSync(join(out, "index.html"), "utf8");
  expect(page.match(/<img src="data:image\/png;base64,[^"]+" alt="[^"]+">/g)).toHaveLength(2);
  expect(
    page.match(
      /<svg class="overlay"[^>]* role="img" aria-label="Attention of asvr-s0[^"]+"><image href="data:image\/png;base64,/g,
    ),
  ).toHaveLength(2);
  expect(page.match(/<th scope="row">/g)).toHaveLength(2);
  expect(page).toContain("Attention is not an explanation.");
  expect(page).toContain("what &#60;b&#62;now&#60;/b&#62; ?");
  expect(page).not.toMatch(/<script|https?:/);
  expect(readJson(out, "case-2", "attention.json")).toMatchObject({ question: "how many ?" });
}, 60_000);

test.each<[string, string[], string]>([
  ["neither question nor cases", [run, "--image", "none.png"], "--image and a question with --question"],
  ["cases without a folder", [run, "--cases", "cases.json"], "name its folder with --out"],
  ["cases and a picture", [run, "--cases", "a", "--image", "b"], "leave --image and --question out"],
  ["cases that are none", [run, "--cases", join(study, "study.json"), "--out", root], "it must be an array of"],
  ["no picture", [run, "--image", join(study, "study.json"), "--question", "?"], "--image"],
  ["a layer that is none", [run, "--image", image, "--question", "?", "--layers", "3"], "0 to 2"],
  ["layers that are no numbers", [run, "--layers", "one"], "it must be a whole number"],
  ["another moment", [run, "--at", "noon"], "before, after"],
])("attention ends with 2: %s", async (_, args, message) => {
  const { status, stdout, stderr } = await asvr("attention", ...args);
  expect(status, stderr).toBe(2);
  expect(stderr).toContain(message);
  expect(stdout).toBe("");
});

const showSurprise = (folder: string, ...more: string[]) => asvr("surprise", folder, "--image", image, ...more);

test("surprise: maps, arrays and a page; the mean is the run's own loss on the picture", async () => {
  const next = join(root, "next");
  const steps = ["stages.pretraining.steps=2", "stages.tuning.steps=2"];
  const set = ["supervision.alignment=next", `startFrom=${study}`, ...steps];
  const options = set.flatMap((setting) => ["--set", setting]);
  const trained = await asvr("train", "micro/asvr", ...options, "--out", next);
  expect(trained.status, trained.stderr).toBe(0);
  const files = ["semantic-sum.png", "semantic-depth-1.png", "semantic-depth-4.png", "surprise.safetensors"];
  for (const [folder, alignment] of [
    [run, "same"],
    [next, "next"],
  ] as const) {
    const out = join(root, `surprise-${alignment}`);
    const { status, stdout, stderr } = await showSurprise(folder, "--cell", "2,3", "--out", out, "--json");
    expect(status, stderr).toBe(0);
    const found = JSON.parse(stdout);
    const [target] = found.targets;
    expect(found).toMatchObject({ alignment, grid: [4, 4], targets: [{ target: "semantic" }] });
    expect(target.uniform).toBeCloseTo(Math.log(target.codebookSize), 9);
    expect(target.mean).toBeCloseTo(await lossAt(folder), 4);
    expect(
      target.nearest.map(({ cell, pictures }: { cell?: number[]; pictures: unknown[] }) => [cell, pictures.length]),
    ).toEqual([
      [undefined, 4],
      [[2, 3], 4],
    ]);
    expect(readJson(out, "surprise.json")).toEqual(found);
    expect(files.filter((file) => !existsSync(join(out, file)))).toEqual([]);
    const page = readFileSync(join(out, "index.html"), "utf8");
    expect(page.match(/<img src="data:image\/png;base64,[^"]+" alt="[^"]+">/g)).toHaveLength(1 + 8);
    expect(page.match(/<svg class="overlay"/g)).toHaveLength(1 + 4);
    expect(page).toContain("Nearest to the predicted codes: row 2, column 3");
  }
}, 120_000);

/** The loss on visual codes that training would count for the picture, in nats a code. */
async function lossAt(folder: string): Promise<number> {
  using chat = (await openChatModel(folder)) as RunChat;
  const { model, parts, recipe, tokenizer, imageTokens } = chat.row;
  const conversations = [
    { from: "human" as const, value: "<image>\nwhat at top-left ?" },
    { from: "gpt" as const, value: "dog" },
  ];
  const template = templates[recipe.stages.tuning.template];
  const record = { id: "one", image, conversations };
  const { sample } = buildSample(record, {
    tokenizer,
    template,
    imageTokens,
    maxLength: recipe.data.maxLength,
    imageRef: (key) => ({ key }),
  });
  const packed = packSamples([sample], { capacity: recipe.data.maxLength, imageTokens, compact: true });
  using pictures = await PictureEncoder.open(study, parts, recipe, null);
  await pictures.add(image);
  using visual = pictures.cache([image])!;
  return noGrad(() =>
    tidy(() => {
      const { visionNll, visionCount } = model.losses(packed, visual.batch([image]));
      return visionNll!.item() / visionCount;
    }),
  );
}

test("the codes of a study's picture are nearest to themselves, whole and by position", async () => {
  using chat = (await openChatModel(run)) as RunChat;
  const { recipe, parts } = chat.row;
  const { semantic } = parts;
  const { tensors, metadata } = readSafetensors(join(study, "codes", "test-seen.safetensors"));
  const [, key] = JSON.parse(metadata.keys!) as string[];
  const codes = tidy(() => tensors.get("semantic")!.select(0, 1).to("int64").toNumbers());
  for (const tensor of tensors.values()) tensor.dispose();
  const { depth } = semantic;
  const rows = Array.from({ length: 16 }, (_, at) => codes.slice(at * depth, (at + 1) * depth));
  const options = { recipe, target: "semantic", count: 2, device: "cpu" } as const;
  const [whole, second] = await nearestPictures(study, semantic, rows, options);
  expect(whole).toEqual({ image: key, distance: 0 });
  expect(second!.distance).toBeGreaterThanOrEqual(0);
  const near = await nearestPictures(study, semantic, rows, { ...options, count: 99, position: 5 });
  const own = near.find((one) => one.image === key)!;
  expect(own.distance).toBe(0);
  expect(rows[own.position!]).toEqual(rows[5]);
  const others = await nearestPictures(study, semantic, rows, { ...options, leaveOut: (other) => other === key });
  expect(others[0]).toEqual(second);
  expect(near.map(({ distance }) => distance)).toEqual(near.map(({ distance }) => distance).sort((a, b) => a - b));
});

test("a picture of the study is not among the pictures nearest to it, under its name or as a copy", async () => {
  const inStudy = join(study, "data", "images", "test-seen", "000001.png");
  const copy = join(root, "copy.png");
  copyFileSync(inStudy, copy);
  for (const file of [inStudy, copy]) {
    const { status, stdout, stderr } = await asvr("surprise", run, "--image", file, "--nearest", "99", "--json");
    expect(status, stderr).toBe(0);
    const [{ nearest }] = JSON.parse(stdout).targets;
    const names = nearest[0].pictures.map((one: { image: string }) => one.image);
    expect(names.length).toBeGreaterThan(3);
    expect(names).not.toContain("images/test-seen/000001.png");
  }
}, 60_000);

test.each<[string, string, string[], string]>([
  ["a run without visual supervision", "llava-s0", [], "without visual supervision"],
  ["a cell outside", "asvr-s0", ["--cell", "5,1"], "up to 4,4"],
  ["a cell that is none", "asvr-s0", ["--cell", "1"], "give ROW,COLUMN"],
])("surprise ends with 2: %s", async (_, row, args, message) => {
  const { status, stdout, stderr } = await showSurprise(join(study, row), ...args);
  expect(status, stderr).toBe(2);
  expect(stderr).toContain(message);
  expect(stdout).toBe("");
});

test("of a published model there is no surprise", async () => {
  expect(await showSurprise(tinyFolder)).toMatchObject({ status: 2, stderr: expect.stringContaining("recipe.json") });
});
