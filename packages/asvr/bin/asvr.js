#!/usr/bin/env node
// Committed as plain JavaScript, so that npm can link it before anything is compiled.
import "./signals.js";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(fileURLToPath(main))) {
  const { run } = await import(main.href);
  await run(process.argv);
} else {
  process.stderr.write(
    `asvr has not been compiled yet: ${fileURLToPath(main)} is not there.\n` +
      "In a clone, run `npm ci` (or `npm run postinstall` after it was run with --ignore-scripts).\n",
  );
  process.exitCode = 1;
}
