// The whole set-up of a clone, run by npm after an install: libtorch, the addon, and the compiled TypeScript.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { setup, summaryOf } from "../packages/torch/scripts/setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

try {
  for (const line of summaryOf(await setup()).split("\n")) process.stderr.write(`[setup] ${line}\n`);
} catch (error) {
  process.stderr.write(`[setup] ${error.name === "SetupError" ? error.message : error.stack}\n`);
  process.exit(1);
}
const compiled = spawnSync(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-b", root], {
  stdio: ["ignore", 2, 2],
});
process.exit(compiled.status ?? 1);
