// What a stranger gets: packs both packages, looks into the archives, installs them into empty folders, sets up there, and
// compiles and runs what the READMEs show. `node scripts/check-packages.mjs`; prints a line for each thing it has checked.
//
// Nothing of this clone is used but the archives and libtorch. Everything is made in one temporary folder, the cache of
// builds and the compilers of TypeScript included, and deleted at the end.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findLibtorch } from "../packages/torch/scripts/libtorch.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = realpathSync(mkdtempSync(join(tmpdir(), "asvr-packages-")));
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(130));

const cache = join(folder, "cache");
// The oldest and the newest that the READMEs promise.
const compilers = ["5.4.5", "7.0.2"];
// npm tells what it starts where it runs; the npm of another folder must not hear of it.
const inherited = Object.entries(process.env).filter(
  ([name]) => !/^(npm_(package|lifecycle|config_local)|INIT_CWD)/.test(name),
);
const environment = { ...Object.fromEntries(inherited), ASVR_CACHE: cache };

try {
  await check();
} catch (error) {
  process.stderr.write(`FAILED   ${error.message}\n`);
  process.exitCode = 1;
}

async function check() {
  const started = performance.now();
  const [torch, asvr] = await pack();
  checkArchive(torch, ["native/addon.cc", "scripts/setup.mjs", "scripts/operators.txt", "bin/asvr-torch.js"]);
  checkArchive(asvr, ["bin/asvr.js", "dist/cli/main.js", "dist/studies/part-worker.js"]);
  assert(asvr.manifest.dependencies["@asvr/torch"] === torch.version, "asvr needs another version of @asvr/torch");
  linkLibtorch();

  await installCompilers();
  const both = await install("both", [torch, asvr]);
  const installed = filesOf(both);
  await checkCommandsBeforeSetup(both, asvr);
  const alone = await install("alone", [torch]);
  // The addon has one long source: the other core compiles the examples meanwhile.
  await Promise.all([checkSetup(both), compileExamples(both, "asvr").then(() => compileExamples(alone, "torch"))]);
  await checkCommands(both);
  await runExamples(both, [/^step 100: loss 0\.0\d+, 100% of codes right$/m]);
  assert(filesOf(both).join() === installed.join(), "something was written into node_modules");
  passed("nothing was written into node_modules");

  const again = JSON.parse(await run("npx", ["@asvr/torch", "setup", "--json"], alone));
  assert(!again.built, "@asvr/torch built an addon that is in the cache");
  passed("npx @asvr/torch setup: finds the build of the other project");
  await runExamples(alone, [/^step 299: loss 0\.0[012]/m, /^in the circle: (9\d|100)%, (9\d|100)%, \d%$/m]);
  passed(`all of it, in ${Math.round((performance.now() - started) / 1000)} s`);
}

/** Both archives, with what npm says of them. */
async function pack() {
  const args = ["pack", "-w", "@asvr/torch", "-w", "asvr", "--pack-destination", folder, "--json"];
  return JSON.parse(await run("npm", args, root)).map((packed) => ({
    ...packed,
    manifest: readJson(root, "packages", basename(packed.name), "package.json"),
    paths: packed.files.map(({ path }) => path),
  }));
}

/** What must be in an archive is, and nothing else: no test, no build, nothing compiled from a file that is gone. */
function checkArchive({ name, version, manifest, paths, unpackedSize }, needed) {
  const exported = Object.values(manifest.exports).flatMap((one) =>
    typeof one === "string" ? one : Object.values(one),
  );
  const entries = [...Object.values(manifest.bin), ...exported].map((path) => path.replace("./", ""));
  const all = ["package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", ...entries, ...needed];
  const missing = all.filter((path) => !paths.includes(path));
  assert(missing.length === 0, `${name} lacks ${missing.join(", ")}`);
  const unwanted = paths.filter((path) => /\.test\.|(^|\/)(goldens|build)\/|\.node$|tsbuildinfo|fixture/.test(path));
  assert(unwanted.length === 0, `${name} has ${unwanted.join(", ")}, which do not belong there`);
  const compiled = paths.filter((path) => /^dist\/.*\.js$/.test(path));
  const lonely = compiled.filter((path) => !paths.includes(path.replace(/^dist/, "src").replace(/js$/, "ts")));
  assert(lonely.length === 0, `${name} has ${lonely.join(", ")}, whose source is gone: delete dist and build again`);
  for (const field of ["description", "license", "keywords", "engines"]) {
    assert(manifest[field], `${name}: package.json has no ${field}`);
  }
  const changes = readFileSync(join(root, "CHANGELOG.md"), "utf8");
  assert(changes.includes(`## [${version}]`), `CHANGELOG.md says nothing of ${version}`);
  passed(`${name} ${version}: ${paths.length} files, ${(unpackedSize / 2 ** 20).toFixed(1)} MB; contents and fields`);
}

/** The private copy of libtorch is not downloaded again. LIBTORCH, and the torch of python3, are found by themselves. */
function linkLibtorch() {
  const { found } = findLibtorch();
  if (found?.source !== "a private copy") return;
  const copy = dirname(found.root);
  mkdirSync(cache);
  symlinkSync(copy, join(cache, basename(copy)));
}

/** An empty project with these packages in it, installed without scripts. */
async function install(name, packages) {
  const project = join(folder, name);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const archives = packages.map(({ filename }) => join("..", filename));
  await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", ...archives], project);
  passed(`npm install of ${packages.map((packed) => packed.name).join(" and ")} in an empty folder, without scripts`);
  return project;
}

async function installCompilers() {
  const aliases = compilers.map((version) => `typescript-${version}@npm:typescript@${version}`);
  await run("npm", ["install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", ...aliases], folder);
}

async function checkCommandsBeforeSetup(project, { version }) {
  const said = await run("npx", ["asvr", "--version"], project);
  assert(said === `${version}\n`, `asvr --version says ${said}`);
  await run("npx", ["asvr", "train", "--help"], project);
  const { status, stdout, stderr } = await tried("npx", ["asvr", "doctor"], project);
  const isHelpful = stdout.includes("run `npx asvr setup`") && stdout.includes(process.version);
  assert(status === 1 && isHelpful && stderr === "", `asvr doctor said: ${stdout}${stderr}`);
  passed("before the set-up: version and help answer, doctor says to run npx asvr setup");
}

async function checkSetup(project) {
  const first = JSON.parse(await run("npx", ["asvr", "setup", "--json"], project));
  assert(first.built && existsSync(first.addon), `asvr setup built nothing: ${JSON.stringify(first)}`);
  const second = JSON.parse(await run("npx", ["asvr", "setup", "--json"], project));
  assert(
    JSON.stringify({ ...first, installed: false, built: false }) === JSON.stringify(second),
    "the second asvr setup did another thing",
  );
  assert((await run("npx", ["asvr", "setup"], project)).startsWith("nothing to do"), "asvr setup did not say so");
  const { version, source } = first.libtorch;
  passed(`npx asvr setup: builds for libtorch ${version} (${source}), does nothing the second time`);
}

async function checkCommands(project) {
  const doctor = JSON.parse(await run("npx", ["asvr", "doctor", "--json"], project));
  assert(doctor.device.check === "works", `asvr doctor: the check ${doctor.device.check}`);
  const sizes = ["train", "test", "novel", "encoder", "text"].flatMap((split) => [`--${split}`, "2"]);
  await run("npx", ["asvr", "micro", "build", "--out", "world", ...sizes], project);
  passed("npx asvr doctor: works; npx asvr micro build: finds its drawings");
}

/** The README's programs, against the installed declarations, every one of them checked. */
async function compileExamples(project, name) {
  const readme = readFileSync(join(root, "packages", name, "README.md"), "utf8");
  const programs = Array.from(readme.matchAll(/```ts\n([\s\S]*?)```/g), ([, source]) => source);
  const files = programs.map((source, i) => {
    writeFileSync(join(project, `example-${i + 1}.ts`), source);
    return `example-${i + 1}.ts`;
  });
  const options = ["--strict", "--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022"];
  for (const version of compilers) {
    const tsc = join(folder, "node_modules", `typescript-${version}`, "bin", "tsc");
    await run(process.execPath, [tsc, ...options, ...files], project);
  }
  passed(
    `programs of packages/${name}/README.md (${files.length}) pass tsc --strict of TypeScript ${compilers.join(" and ")}`,
  );
}

/** Runs the programs in their order, in one folder. @param expected what each of them prints */
async function runExamples(project, expected) {
  const programs = readdirSync(project).filter((file) => /^example-\d+\.js$/.test(file));
  assert(programs.length === expected.length, `${programs.length} programs, but ${expected.length} are expected`);
  for (const [i, pattern] of expected.entries()) {
    const printed = await run(process.execPath, [`example-${i + 1}.js`], project);
    assert(pattern.test(printed), `example ${i + 1} in ${basename(project)} printed\n${printed}`);
    passed(`example ${i + 1} runs: ${printed.trim().split("\n").at(-1)}`);
  }
}

/** @returns standard output @throws Error with everything that was printed when the command fails */
async function run(command, args, cwd) {
  const { status, stdout, stderr } = await tried(command, args, cwd);
  if (status === 0) return stdout;
  throw new Error(`${[basename(command), ...args].join(" ")} ended with ${status}\n${stdout}${stderr}`);
}

function tried(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: environment, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"]) {
      child[stream].setEncoding("utf8").on("data", (text) => {
        output[stream] += text;
      });
    }
    child.on("error", reject);
    child.on("close", (status) => {
      running.delete(child);
      resolve({ status, ...output });
    });
  });
}

function filesOf(project) {
  return readdirSync(join(project, "node_modules"), { recursive: true }).sort();
}

function readJson(...path) {
  return JSON.parse(readFileSync(join(...path), "utf8"));
}

function passed(what) {
  process.stdout.write(`checked  ${what}\n`);
}
