import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

// The slow form, with more kills and longer stages: node scripts/kill-test.mjs
test("a study that is killed with -9, whole or the command alone, and stopped with Ctrl-C is the unbroken one", async () => {
  const script = fileURLToPath(new URL("../../../../scripts/kill-test.mjs", import.meta.url));
  const args = [script, "--kills", "3", "--steps", "16", "--rows", "llava,asvr"];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toMatch(/[1-3] kills?; weights, metrics, answers and attention equal those of the unbroken study\n$/);
}, 180_000);
