// The README's programs, as they stand there, one after the other in one folder.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";
import { readSafetensors, tidy } from "./index.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const printed: Record<string, (lines: string) => void> = {
  "A training loop": (lines) => {
    const losses = [...lines.matchAll(/^step (\d+): loss (\S+)$/gm)].map(([, step, loss]) => [+step!, +loss!]);
    expect(losses.map(([step]) => step)).toEqual([0, 100, 200, 299]);
    expect(losses.at(-1)![1]).toBeLessThan(0.03);
  },
  "Loading weights": (lines) => expect(lines).toMatch(/^in the circle: (9\d|100)%, (9\d|100)%, \d%\n$/),
};

test("the README's programs run: one learns and saves its weights, the next loads them", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const sections = readme.split(/^## /m).filter((section) => section.includes("```ts\n"));
  expect(sections.map((section) => section.split("\n")[0])).toEqual(Object.keys(printed));
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  const folder = mkdtempSync(join(tmpdir(), "asvr-readme-"));
  try {
    symlinkSync(join(root, "..", "..", "node_modules"), join(folder, "node_modules"));
    for (const section of sections) {
      const [program, ...others] = Array.from(section.matchAll(/```ts\n([\s\S]*?)```/g), ([, source]) => source!);
      expect(others).toEqual([]);
      writeFileSync(join(folder, "example.mjs"), ts.transpileModule(program!, { compilerOptions: options }).outputText);
      const child = spawnSync(process.execPath, ["example.mjs"], { cwd: folder, encoding: "utf8" });
      expect(child.stderr).toBe("");
      printed[section.split("\n")[0]!]!(child.stdout);
    }
    expect(existsSync(join(folder, "circle.safetensors"))).toBe(true);
    tidy(() => {
      const { tensors } = readSafetensors(join(folder, "circle.safetensors"));
      expect([...tensors.keys()].sort()).toEqual(["hidden.bias", "hidden.weight", "output.bias", "output.weight"]);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
