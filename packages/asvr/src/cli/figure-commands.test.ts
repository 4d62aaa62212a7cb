import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSafetensorsHeader } from "@asvr/torch";
import sharp from "sharp";
import { beforeAll, expect, test } from "vitest";
import { tinyFolder, tinyNextFolder } from "../chat/fixture.js";
import { asvr, readJson, temporaryFolder, writeSettings } from "./fixture.js";

// What shows how a model sees a picture, through the compiled command.

const root = temporaryFolder();
const study = join(root, "study");
const run = join(study, "asvr-s0");
const image = join(root, "picture.jpg");
beforeAll(async () => {
  const settings = writeSettings(root);
  const made = await asvr("reproduce", "table1", "--settings", settings, "--rows", "llava,asvr", "--out", study);
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
  const { entries } = readSafetensorsHeader(join(out, "attention.safetensors"));
  const shapes = Array.from(entries, ([name, { shape }]) => [name, shape]);
  expect(Object.fromEntries(shapes)).toEqual({
    before: [3, 4, 4, 4],
    after: [3, 4, 4, 4],
    "baseline.before": [3, 4, 4, 4],
    "baseline.after": [3, 4, 4, 4],
  });
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
