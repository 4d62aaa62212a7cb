// Packs both packages and looks into the archives: what a user gets is there, and nothing else is.
import { execFileSync } from "node:child_process";

const needed = {
  "@asvr/torch": [
    "dist/index.js",
    "dist/index.d.ts",
    "native/addon.cc",
    "scripts/setup.mjs",
    "scripts/operators.txt",
    "README.md",
  ],
  asvr: ["bin/asvr.js", "dist/index.js", "dist/index.d.ts", "dist/cli/main.js"],
};
const unwanted = [/\.test\./, /(^|\/)goldens\//, /(^|\/)build\//, /\.node$/, /tsbuildinfo/, /fixture/];

let problems = 0;
for (const [name, files] of Object.entries(needed)) {
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "-w", name], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  );
  const paths = packed.files.map(({ path }) => path);
  for (const file of files) if (!paths.includes(file)) complain(`${name}: ${file} is missing`);
  for (const path of paths)
    if (unwanted.some((pattern) => pattern.test(path))) complain(`${name}: ${path} does not belong there`);
  process.stdout.write(`${name}: ${paths.length} files, ${(packed.unpackedSize / 2 ** 20).toFixed(1)} MB\n`);
}
process.exitCode = problems > 0 ? 1 : 0;

function complain(text) {
  process.stderr.write(`${text}\n`);
  problems++;
}
