#!/usr/bin/env node
// The command of this package, `npx @asvr/torch setup`. It must run where nothing is built yet.
import { main } from "../scripts/setup.mjs";

const [command, ...args] = process.argv.slice(2);
if (command === "setup") await main(args);
else {
  process.stderr.write(
    "Usage: npx @asvr/torch setup [--json]\n\n" +
      "Finds libtorch, or installs a private copy with pip, and builds the addon. --json prints one JSON object.\n",
  );
  process.exitCode = command === undefined || command === "--help" ? 0 : 2;
}
