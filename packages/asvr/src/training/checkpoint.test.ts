import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { CheckpointError, F, manualSeed, memory, nn, optim, setThreads, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import { latestCheckpoint, loadModules, loadTraining, saveCheckpoint, stateOf } from "./checkpoint.js";
import { TinyObjective, tinyTraining } from "./fixture.js";
import { train } from "./trainer.js";

setThreads(1); // test files run side by side

const before = memory().tensors;
const root = mkdtempSync(join(tmpdir(), "asvr-checkpoint-"));
let folderCount = 0;
const newFolder = () => join(root, `run-${folderCount++}`);
afterAll(() => {
  rmSync(root, { recursive: true });
  expect(memory().tensors).toBe(before);
});

const position = { stage: "tuning", stageNumber: 1, step: 3, seconds: 1.5 };

/** Two modules and an optimizer that has made a step. */
function makeTrained() {
  const modules = { first: new nn.Linear(3, 4), second: new nn.LayerNorm(4) };
  const parameters = Object.entries(modules).flatMap(([name, module]) =>
    [...module.namedParameters()].map(([key, parameter]) => [`${name}.${key}`, parameter] as const),
  );
  const optimizer = new optim.AdamW(parameters);
  const step = () =>
    tidy(() => {
      optimizer.zeroGrad();
      modules.second
        .forward(modules.first.forward(F.randn([5, 3])))
        .square()
        .sum()
        .backward();
      optimizer.step(0.1);
    });
  step();
  optimizer.zeroGrad();
  const valuesOf = () =>
    tidy(() => [...stateOf(modules), ...optimizer.stateDict()].map(([name, value]) => [name, value.toNumbers()]));
  const dispose = () => {
    for (const disposable of [modules.first, modules.second, optimizer]) disposable.dispose();
  };
  return { modules, optimizer, step, valuesOf, [Symbol.dispose]: dispose };
}

async function saved(folder = newFolder()): Promise<{ folder: string; path: string }> {
  using trained = makeTrained();
  await saveCheckpoint(folder, position, trained);
  return { folder, path: (await latestCheckpoint(folder))!.path };
}

test("weights, optimizer and random numbers go on from where they were saved", async () => {
  const folder = newFolder();
  using trained = makeTrained();
  manualSeed(9);
  F.randn([3]).dispose();
  await saveCheckpoint(folder, position, trained);
  const values = trained.valuesOf();
  const draws = () => tidy(() => F.randn([4]).toNumbers());
  const following = draws();
  trained.step();
  expect(trained.valuesOf()).not.toEqual(values);

  using other = makeTrained();
  const latest = (await latestCheckpoint(folder))!;
  expect(latest).toEqual({ ...position, path: join(folder, "checkpoints", "tuning-step-0000003") });
  await loadTraining(latest.path, other);
  expect(other.valuesOf()).toEqual(values);
  expect(draws()).toEqual(following);
});

test("a folder without checkpoints has none", async () => {
  expect(await latestCheckpoint(newFolder())).toBeUndefined();
});

test("the newest is the furthest step of the last stage; it and the one before are kept", async () => {
  const folder = newFolder();
  using trained = makeTrained();
  for (const [stage, stageNumber, step] of [
    ["pretraining", 0, 90],
    ["pretraining", 0, 100],
    ["tuning", 1, 9],
    ["tuning", 1, 10],
  ] as const) {
    await saveCheckpoint(folder, { ...position, stage, stageNumber, step }, trained);
    expect(await latestCheckpoint(folder)).toMatchObject({ stage, step });
  }
  expect(readdirSync(join(folder, "checkpoints")).sort()).toEqual(["tuning-step-0000009", "tuning-step-0000010"]);
});

test("what a killed process left half-saved is no checkpoint, and the next save clears it away", async () => {
  const { folder, path } = await saved();
  const checkpoints = join(folder, "checkpoints");
  const leaveBehind = (name: string, ...files: string[]) => {
    mkdirSync(join(checkpoints, name));
    for (const file of files) writeFileSync(join(checkpoints, name, file), readFileSync(join(path, file)));
  };
  leaveBehind(".tuning-step-0000007.partial", "model.safetensors", "optimizer.safetensors");
  leaveBehind(".tuning-step-0000008.partial", "model.safetensors", "optimizer.safetensors", "manifest.json");
  leaveBehind("tuning-step-0000009", "model.safetensors"); // copied by hand, without the rest
  expect(await latestCheckpoint(folder)).toMatchObject({ step: 3 });

  using trained = makeTrained();
  await saveCheckpoint(folder, { ...position, step: 4 }, trained);
  expect(await latestCheckpoint(folder)).toMatchObject({ step: 4 });
  expect(readdirSync(checkpoints).filter((name) => name.startsWith("."))).toEqual([]);
});

const damages: [string, (path: string) => void, RegExp][] = [
  ["one bit of the weights", (path) => flipBit(join(path, "model.safetensors")), /model\.safetensors: its sha256 is/],
  ["one bit of the optimizer", (path) => flipBit(join(path, "optimizer.safetensors")), /optimizer\.safetensors: its/],
  ["a file cut short", (path) => cutShort(join(path, "random.safetensors")), /random\.safetensors: its sha256 is/],
  ["a lost file", (path) => rmSync(join(path, "model.safetensors")), /model\.safetensors is missing/],
  ["a step that is no number", (path) => editManifest(path, { step: "x" }), /manifest\.json: step is "x": /],
  ["a negative step", (path) => editManifest(path, { step: -3 }), /manifest\.json: step is -3: /],
  [
    "a step that was raised",
    (path) => editManifest(path, { step: 1e9 }),
    /json is not as it was written: its own sha256/,
  ],
  ["a lower step", (path) => editManifest(path, { step: 2 }), /json is not as it was written: its own sha256/],
  ["no hashes", (path) => editManifest(path, { files: {} }), /files is \{\}: it must name model\.safetensors, /],
  ["a hash that is none", (path) => editManifest(path, { files: { "model.safetensors": "1" } }), /must be a SHA-256/],
  ["no stage", (path) => editManifest(path, { stage: undefined }), /manifest\.json: stage is missing: /],
  ["a manifest that is a list", (path) => writeFileSync(join(path, "manifest.json"), "[]"), /json is no JSON object/],
  ["a manifest cut short", (path) => cutShort(join(path, "manifest.json")), /manifest\.json is no JSON/],
];

function editManifest(path: string, changes: object): void {
  const file = join(path, "manifest.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...changes }));
}

function flipBit(file: string): void {
  const bytes = readFileSync(file);
  bytes[bytes.length - 2]! ^= 0x10;
  writeFileSync(file, bytes);
}

function cutShort(file: string): void {
  const bytes = readFileSync(file);
  writeFileSync(file, bytes.subarray(0, bytes.length - 5));
}

test.each(damages)("%s is noticed, and the message says what to do", async (_, damage, message) => {
  const { path } = await saved();
  damage(path);
  using trained = makeTrained();
  const values = trained.valuesOf();
  const loading = loadTraining(path, trained);
  await expect(loading).rejects.toThrow(CheckpointError);
  await expect(loading).rejects.toThrow(message);
  await expect(loading).rejects.toThrow("delete this checkpoint's folder to go on from the one before it");
  expect(trained.valuesOf()).toEqual(values); // nothing was loaded
});

test("a checkpoint of another format says which", async () => {
  const { path } = await saved();
  const file = join(path, "manifest.json");
  writeFileSync(file, readFileSync(file, "utf8").replace("asvr-checkpoint-1", "asvr-checkpoint-7"));
  using module = new nn.Linear(3, 4);
  await expect(loadModules(path, { first: module })).rejects.toThrow(/"asvr-checkpoint-7", this version reads/);
});

test("a checkpoint from before manifests had a hash of their own opens, if it is where its name says", async () => {
  const { folder, path } = await saved();
  const before = { sha256: undefined };
  editManifest(path, before);
  using trained = makeTrained();
  await loadTraining(path, trained);
  expect(await latestCheckpoint(folder)).toMatchObject(position);
  editManifest(path, { ...before, step: 1e9 });
  await expect(latestCheckpoint(folder)).rejects.toThrow(
    /says stage tuning, step 1000000000, but its folder is tuning-step-0000003/,
  );
});

test("weights of other sizes are listed", async () => {
  const { path } = await saved();
  using module = new nn.Linear(2, 4);
  await expect(loadModules(path, { first: module })).rejects.toThrow(
    /first\.weight is \(4, 3\), the model has \(4, 2\)/,
  );
});

test("after the message is followed, the run goes on from the checkpoint before and ends the same", async () => {
  const run = async (folder: string) => {
    using objective = new TinyObjective();
    await train(objective, tinyTraining(folder, { steps: 6, saveEverySeconds: 0 }));
    return (await latestCheckpoint(folder))!.path;
  };
  const folder = newFolder();
  const path = await run(folder);
  const manifest = readFileSync(join(path, "manifest.json"), "utf8");
  flipBit(join(path, "model.safetensors"));
  await expect(run(folder)).rejects.toThrow(`${join(path, "model.safetensors")}: its sha256 is`);

  rmSync(path, { recursive: true });
  expect(await latestCheckpoint(folder)).toMatchObject({ step: 5 });
  expect(basename(await run(folder))).toBe("tuning-step-0000006");
  expect(existsSync(path)).toBe(true);
  expect(JSON.parse(readFileSync(join(path, "manifest.json"), "utf8")).files).toEqual(JSON.parse(manifest).files);
});
