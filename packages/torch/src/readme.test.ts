// The README's program, as it stands there.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";
import { readSafetensors, tidy } from "./index.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

test("the training example of the README learns, and saves its weights", () => {
  const [, source] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))!;
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  const folder = mkdtempSync(join(tmpdir(), "asvr-readme-"));
  try {
    writeFileSync(join(folder, "example.mjs"), ts.transpileModule(source!, { compilerOptions: options }).outputText);
    symlinkSync(join(root, "..", "..", "node_modules"), join(folder, "node_modules"));
    const child = spawnSync(process.execPath, ["example.mjs"], { cwd: folder, encoding: "utf8" });
    expect(child.stderr).toBe("");
    const losses = [...child.stdout.matchAll(/^step (\d+): loss (\S+)$/gm)].map(([, step, loss]) => [+step!, +loss!]);
    expect(losses.map(([step]) => step)).toEqual([0, 100, 200, 299]);
    expect(losses.at(-1)![1]).toBeLessThan(0.03);
    expect(existsSync(join(folder, "circle.safetensors"))).toBe(true);
    tidy(() => {
      const { tensors } = readSafetensors(join(folder, "circle.safetensors"));
      expect([...tensors.keys()].sort()).toEqual(["hidden.bias", "hidden.weight", "output.bias", "output.weight"]);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
