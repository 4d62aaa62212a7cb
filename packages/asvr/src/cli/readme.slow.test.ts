import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { expect, test } from "vitest";
import { asvr, type Outcome, readJson, startAsvr, temporaryFolder, writeSettings } from "./fixture.js";

// What the README says of one's own pictures, run as it stands there, beside a small study in the place of the demo.

const readme = readFileSync(fileURLToPath(new URL("../../../../README.md", import.meta.url)), "utf8");
const section = readme.split("\n## ").find((part) => part.startsWith("Your own pictures"))!;
const commands = Array.from(section.matchAll(/^npx asvr (.*)$/gm), ([, line]) => wordsOf(line!));

/** Three pictures are learned in a few steps. */
const shorter = ["--set", "stages.pretraining.steps=20", "--set", "stages.tuning.steps=200"];

test("three commands train on, score and explain one's own pictures; a fourth checks them", async () => {
  const root = temporaryFolder();
  const demo = ["reproduce", "table1", "--settings", writeSettings(root), "--rows", "llava"];
  const study = await asvr(...demo, "--out", join(root, "runs", "demo"));
  expect(study.status, study.stderr).toBe(0);
  await ownData(join(root, "mine"));

  expect(commands.map(([name]) => name)).toEqual(["train", "eval", "attention", "data"]);
  const outcomes: Outcome[] = [];
  for (const words of commands) {
    const fewer = words[0] === "train" ? shorter : [];
    outcomes.push(await startAsvr([...words, ...fewer], { cwd: root }).ended);
    expect(outcomes.at(-1)!.status, outcomes.at(-1)!.stderr).toBe(0);
  }
  expect(readJson(root, "runs", "mine", "evaluation", "test", "scores.json")).toMatchObject({
    questions: 3,
    exactMatch: 100,
  });
  expect(outcomes[2]!.stdout).toContain("red");
  expect(outcomes[3]!.stdout).toContain("mine/train.json: 3 records, 3 pictures in the good ones; nothing is wrong");
}, 180_000);

/** Coloured pictures of several sizes, the README's record for each; those for the test have a size of their own. */
async function ownData(folder: string): Promise<void> {
  mkdirSync(join(folder, "pictures"), { recursive: true });
  const [example] = JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!);
  const record = async (id: string, colour: string, width: number) => {
    const image = `${id}.jpg`;
    const background = { width, height: 90, channels: 3, background: colour } as const;
    await sharp({ create: background })
      .jpeg()
      .toFile(join(folder, "pictures", image));
    const conversations = structuredClone(example.conversations);
    conversations[1].value = colour;
    return { ...example, id, image, conversations };
  };
  const colours = ["red", "green", "blue"];
  const train = await Promise.all(colours.map((colour, at) => record(String(at + 1), colour, 100)));
  const test = await Promise.all(colours.map((colour, at) => record(`t${at + 1}`, colour, 130)));
  writeFileSync(join(folder, "train.json"), JSON.stringify(train));
  writeFileSync(join(folder, "test.json"), JSON.stringify(test));
}

/** The words of a shell's line; quotes hold together what stands between them. */
function wordsOf(line: string): string[] {
  return Array.from(line.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, plain]) => quoted ?? plain!);
}
