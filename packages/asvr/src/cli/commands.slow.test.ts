import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { leafCommands } from "./commands.js";
import { asvr, readJson, startAsvr, temporaryFolder, writeSettings } from "./fixture.js";

const root = temporaryFolder();

const commands = leafCommands();

test.each(commands.map((command) => [command.name(), command] as const))(
  "%s --help shows an example",
  (name, command) => {
    let help = "";
    command
      .configureOutput({
        writeOut: (text) => {
          help += text;
        },
      })
      .outputHelp();
    expect(help).toMatch(new RegExp(`Examples?:\n  asvr (micro |data |export )?${name}`));
  },
);

const tooLittle = join(root, "little.json");
writeFileSync(tooLittle, JSON.stringify({ table: "table1", rows: ["llava"] }));
const noJson = join(root, "no.json");
writeFileSync(noJson, "{");
const tiny = writeSettings(root);
const tinyStudy = join(root, "study");
mkdirSync(tinyStudy);
copyFileSync(tiny, join(tinyStudy, "settings.json"));
const out = ["--out", join(root, "never")];
const from = (folder: string) => ["train", "micro/asvr", ...out, "--set", `startFrom=${folder}`];
const hub = join(root, "hub");
mkdirSync(hub);
writeFileSync(join(hub, "config.json"), '{"model_type": "llava"}');
const pictures = join(root, "pictures");
mkdirSync(pictures);

test.concurrent.each<[string, string[], string]>([
  ["no command", [], "Usage: asvr"],
  ["an unknown command", ["nope"], "unknown command 'nope'"],
  ["an unknown option", ["reproduce", "table1", "--nope"], "--help shows the options and an example"],
  ["an unknown table", ["reproduce", "table5", ...out], 'the table is "table5"; it must be table1 or table2'],
  ["a table that micro scale has not", ["reproduce", "table9", ...out], "table9 has no equivalent at this scale"],
  [
    "a row at the paper's scale",
    ["train", "table4/ross-vae", "--scale", "paper", ...out],
    "denoises VAE features (ROSS)",
  ],
  ["rows of all tables", ["reproduce", "all", "--rows", "asvr", ...out], "--rows and --settings are of one table"],
  ["a format that there is not", ["report", root, "--format", "pdf"], '--format is "pdf"'],
  ["an unknown scale", ["reproduce", "table1", "--scale", "huge", ...out], '--scale is "huge"'],
  ["an unknown row", ["reproduce", "table1", "--rows", "llava,nope", ...out], "table1 has no nope; it has llava"],
  ["no seed", ["reproduce", "table1", "--seeds", "0", ...out], "it must be 1 or more"],
  ["half a step", ["reproduce", "table1", "--steps", "0.5", ...out], "it must be a whole number"],
  ["an unknown dtype", ["reproduce", "table1", "--matmul", "float8", ...out], "--matmul"],
  ["settings that are not there", ["reproduce", "table1", "--settings", join(root, "none"), ...out], "no such file"],
  ["settings that are no JSON", ["reproduce", "table1", "--settings", noJson, ...out], "cannot be read as settings"],
  ["settings without seeds", ["reproduce", "table1", "--settings", tooLittle, ...out], "seeds: "],
  ["a start that is not there", from(join(root, "nothere")), "nothere does not exist. startFrom names the folder of"],
  ["a start that is a published model", from(hub), "hub is LLaVA of Hugging Face's (LlavaForConditionalGeneration)"],
  ["a start that is empty", from(pictures), "pictures is an empty folder, neither a study nor a run"],
  ["a start that is a file", from(noJson), "no.json is a file, neither a study nor a run"],
  ["a run into a model", ["train", "micro/asvr", "--out", hub, "--set", `startFrom=${tinyStudy}`], "hub is LLaVA"],
  ["a study into a model", ["reproduce", "table1", "--settings", tiny, "--out", hub], "hub is LLaVA"],
  ...[
    ["language.backbone=vicuna-7b", "language.backbone names a published language model"],
    ["encoder.checkpoint=siglip", "encoder.checkpoint names published weights, which are of scale paper"],
    ["encoder.selectLayer=-6", "an encoder of 4 layers has the hidden states 0 (its input) to 4"],
    ["encoder.tilesAside=2", "tiles (AnyRes) in packed training"],
    ["tokenizers.semantic.layer=5", "tokenizers.semantic.layer is 5, but an encoder of 4 layers has"],
    ["encoder.imageSize=112", "the pictures of the study have 56"],
    ["encoder.patchSize=8", "patches must fill a cell of the study's pictures, 28 pixels wide"],
    ["visualHead.headDim=25", "embedDim must be a multiple of headDim"],
    ["supervision.denoises=vae", "denoises is of the kind denoising"],
    ["stages.tuning.template=smollm2", "the language model of scale micro knows plain, v1, micro"],
    ["stages.tuning.dataset=LLaVA-1.5-665K", "stages.tuning.dataset names published records"],
    ["stages.tuning.betas=[0.9,1]", "stages.tuning.betas.1: "],
    [`data.images=${pictures}`, "neither data.tuning nor data.captions is"],
    [`data.tuning=${pictures}`, "is a folder, no file"],
    ["scale=small", "--set scale: the argument RECIPE and --scale say it"],
    ["name=table1/llava", "--set name: the argument RECIPE and --scale say it"],
  ].map(([setting, message]): [string, string[], string] => [
    `the setting ${setting}`,
    [...from(tinyStudy), "--set", setting!],
    message!,
  ]),
  ["a missing argument", ["eval"], "missing required argument 'run'"],
  ["a folder that is no run", ["eval", root], "it has no recipe.json"],
  ["a folder that is no study", ["report", root], "this is not the run folder of a study"],
  ["no picture", ["attention", root], "--image"],
  ["no folder for the world", ["micro", "build"], "--out"],
  ["more threads than can start", ["chat", root, "--threads", "40000"], "it must be 1024 or less"],
  ["unknown things", ["micro", "build", "--things", "poor", ...out], "it must be standard or rich"],
  ["an unknown recipe", ["train", "micro/nope", ...out], 'table1 has no row "nope"'],
  ["an unknown setting", ["train", "micro/asvr", ...out, "--set", "stages.tuning.size=4"], 'no "size"'],
  [
    "own data that is not there",
    ["train", "micro/asvr", ...out, "--set", "data.tuning=none.json"],
    "none.json does not exist",
  ],
  ["a file to check that is not there", ["data", "check", "none.json"], "none.json does not exist"],
  ["a model that can't be fetched", ["fetch", "gpt"], 'the model is "gpt"; it must be smollm2'],
  ["a row whose steps a study finds out", ["train", "micro/llava-equal-time", ...out], "from a study's calibration"],
])("a wrong call ends with 2: %s", async (_, args, message) => {
  const { status, stdout, stderr } = await asvr(...args);
  expect(status, stderr).toBe(2);
  expect(stderr).toContain(message);
  expect(stdout).toBe("");
  expect(existsSync(join(root, "never"))).toBe(false);
});

test.concurrent.each<[string, string[], object]>([
  [
    "a refused setting",
    ["eval", root],
    { name: "ConfigError", message: expect.stringContaining("recipe.json"), status: 2 },
  ],
  [
    "an unknown option",
    ["data", "check", "--nope"],
    { name: "UsageError", message: "unknown option '--nope'", status: 2 },
  ],
])("with --json an error is an object too: %s", async (_, args, error) => {
  const { stdout, stderr } = await asvr(...args, "--json");
  expect(JSON.parse(stdout)).toEqual({ error });
  expect(stderr).not.toBe("");
});

/** As right after an install: where nothing is built yet. */
const unbuilt = (...args: string[]) =>
  startAsvr(args, { env: { ...process.env, ASVR_CACHE: join(root, "no-cache") } }).ended;

test("the version and every help are no errors, and need no libtorch", async () => {
  const { version } = readJson(fileURLToPath(new URL("../../package.json", import.meta.url)));
  expect(await unbuilt("--version")).toEqual({ status: 0, stdout: `${version}\n`, stderr: "" });
  expect(await unbuilt("--help")).toMatchObject({ status: 0, stdout: expect.stringContaining("setup") });
  for (const command of commands) {
    const names = command.parent ? [command.parent.name(), command.name()] : [command.name()];
    const { status, stdout } = await unbuilt(...names, "--help");
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/Examples?:/) });
  }
});

test.concurrent.each([
  ["reproduce", "table1", ...out],
  ["train", "micro/asvr", ...out],
  ["eval", root],
  ["attention", root, "--image", "picture.png", "--question", "what ?"],
])("before the set-up, %s says how to do it", async (...args) => {
  const { status, stdout, stderr } = await unbuilt(...args);
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toMatch(/^LoadError: libtorch's addon has not been built yet[\s\S]*run `npx asvr setup`/);
  expect(stderr).not.toContain("    at ");
});

test("setup does nothing where everything is there, and says so", async () => {
  const { stdout } = await asvr("setup", "--json");
  expect(JSON.parse(stdout)).toEqual({
    libtorch: { version: expect.any(String), source: expect.any(String), root: expect.any(String) },
    addon: expect.stringMatching(/asvr_torch\.node$/),
    installed: false,
    built: false,
  });
  expect(await asvr("setup")).toMatchObject({ status: 0, stdout: expect.stringMatching(/^nothing to do/) });
});

test("micro build writes a world; the manifest is the one JSON object", async () => {
  const world = join(root, "world");
  const sizes = ["--train", "3", "--test", "2", "--novel", "1", "--encoder", "2", "--text", "2"];
  const { status, stdout, stderr } = await asvr("micro", "build", "--out", world, "--seed", "1", ...sizes, "--json");
  expect(stderr).toContain("micro world: done in");
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toEqual(readJson(world, "manifest.json"));
});

test("before the set-up, doctor says what is there, what is not, and how to get it", async () => {
  const { status, stdout, stderr } = await unbuilt("doctor", "--json");
  expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({
    libtorch: { problem: expect.stringContaining("has not been built yet") },
    device: { check: expect.stringContaining("run `npx asvr setup`") },
    versions: { node: process.version },
  });
});

test("a device that is not there: doctor's check fails, and others say it in a sentence", async () => {
  const env = { ...process.env, ASVR_DEVICE: "gpu" };
  const doctor = await startAsvr(["doctor", "--json"], { env }).ended;
  expect(doctor.status).toBe(1);
  expect(JSON.parse(doctor.stdout).device.check).toMatch(/^fails: ASVR_DEVICE is gpu, which is no device/);
  const { status, stderr } = await startAsvr(["train", "micro/asvr", ...out], { env }).ended;
  expect(status).toBe(1);
  expect(stderr).toMatch(/LoadError: .*ASVR_DEVICE is gpu, which is no device: use cpu, cuda, cuda:1 or mps\.\n$/);
});

test("doctor says what is used and that it works", async () => {
  const { status, stdout } = await asvr("doctor", "--json");
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ device: { check: "works" }, versions: { node: process.version } });
  expect((await asvr("doctor")).stdout).toMatch(/libtorch\n {2}version/);
});

test("a settings file that the tests use is one", () => {
  expect(readJson(tiny)).toMatchObject({ table: "table1" });
});
