// Finding, installing and building, with stand-ins for python3 and the compiler: nothing is downloaded.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";

const scripts = join(dirname(dirname(fileURLToPath(import.meta.url))), "scripts");
const folder = mkdtempSync(join(tmpdir(), "asvr-setup-"));
afterAll(() => rmSync(folder, { recursive: true }));

const place = (name: string) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
};

/** A folder that looks like libtorch, as far as finding it goes. */
function fakeLibtorch(name: string, version: string): string {
  const root = place(name);
  mkdirSync(join(root, "include", "ATen"), { recursive: true });
  mkdirSync(join(root, "lib"));
  writeFileSync(join(root, "__init__.py"), "raise RuntimeError('it must not be imported')");
  writeFileSync(join(root, "version.py"), `__version__ = '${version}+cpu'\n`);
  return root;
}

function executable(name: string, script: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const program = (body: string) => `
  const { findLibtorch, installLibtorch } = await import(${JSON.stringify(pathToFileURL(join(scripts, "libtorch.mjs")).href)});
  const { buildAddon } = await import(${JSON.stringify(pathToFileURL(join(scripts, "addon.mjs")).href)});
  try { console.log(JSON.stringify(await (async () => { ${body} })())); }
  catch (error) { console.log(error.name + ": " + error.message); }
`;
const environment = (env: Record<string, string>) => ({
  ...process.env,
  LIBTORCH: "",
  ASVR_CACHE: join(folder, "no-cache"),
  ...env,
});

function run(body: string, env: Record<string, string> = {}): string {
  const args = ["--input-type=module", "-e", program(body)];
  return spawnSync(process.execPath, args, { encoding: "utf8", env: environment(env) }).stdout.trim();
}

function runAsync(body: string, env: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program(body)], { env: environment(env) });
  let output = "";
  child.stdout.on("data", (text) => {
    output += text;
  });
  return new Promise((resolve) => child.on("close", () => resolve(output.trim())));
}

const find = (env: Record<string, string> = {}) => JSON.parse(run("return findLibtorch();", env));

test("LIBTORCH goes before all else, whatever its version", () => {
  const root = fakeLibtorch("given", "2.99.0");
  const site = dirname(fakeLibtorch("site/torch", "2.15.0"));
  expect(find({ LIBTORCH: root, PYTHONPATH: site }).found).toEqual({ root, version: "2.99.0", source: "LIBTORCH" });
});

test("a LIBTORCH that is none is an error, not passed over", () => {
  const output = run("return findLibtorch();", { LIBTORCH: place("nothing") });
  expect(output).toMatch(/^SetupError: LIBTORCH is .*nothing, but there is no include\/ATen in it/);
});

test("the torch of python3 is found without importing it", () => {
  const site = dirname(fakeLibtorch("site-2/torch", "2.15.3"));
  expect(find({ PYTHONPATH: site }).found).toMatchObject({
    root: join(site, "torch"),
    version: "2.15.3",
    source: expect.stringMatching(/^the torch of .*python3/),
  });
});

test("a torch of another version, and one without headers, are passed over with the reason", () => {
  const old = dirname(fakeLibtorch("site-3/torch", "2.4.0"));
  expect(find({ PYTHONPATH: old }).tried).toContain("python3: torch 2.4.0 is not a supported version");
  const bare = fakeLibtorch("site-4/torch", "2.15.0");
  rmSync(join(bare, "include"), { recursive: true });
  expect(find({ PYTHONPATH: dirname(bare) }).tried).toContain(`python3: torch 2.15.0 at ${bare} has no include/ATen`);
});

test("a private copy is used, and where there is nothing every place is named", () => {
  const cache = place("cache");
  const python = dirname(executable("no-torch/python3", 'printf "/usr/bin/python3\\n\\n"'));
  fakeLibtorch("cache/libtorch-2.15.0/torch", "2.15.0");
  const env = { PATH: python, PYTHONPATH: "" };
  expect(find({ ...env, ASVR_CACHE: cache }).found).toMatchObject({ version: "2.15.0", source: "a private copy" });
  expect(find(env)).toEqual({
    tried: [
      "LIBTORCH: not set",
      "python3: has no torch",
      `private copy: not at ${join(folder, "no-cache", "libtorch-2.15.0", "torch")}`,
    ],
  });
  expect(find({ PATH: place("empty") }).tried).toContain("python3: not found");
});

// Does what `pip install --target DIR` would leave behind, slowly enough for another to come between.
const pip = `
while [ "$1" != "--target" ]; do shift; done
/bin/mkdir -p "$2/torch/include/ATen" "$2/torch/lib"
/bin/sleep 0.3`;

test("two installations at once both end with one whole copy", async () => {
  const cache = place("shared-cache");
  const env = { PATH: dirname(executable("pip/python3", pip)), ASVR_CACHE: cache };
  const install = "return installLibtorch(() => {});";
  const root = join(cache, "libtorch-2.15.0", "torch");
  const expected = JSON.stringify({ root, version: "2.15.0", source: "a private copy" });
  expect(await Promise.all([runAsync(install, env), runAsync(install, env)])).toEqual([expected, expected]);
  expect(readdirSync(cache)).toEqual(["libtorch-2.15.0"]);
});

test("a pip that fails, and none at all, leave nothing and say what to do", () => {
  const cache = place("failed-cache");
  const install = "return installLibtorch(() => {});";
  const failing = { PATH: dirname(executable("failing/python3", "exit 3")), ASVR_CACHE: cache };
  expect(run(install, failing)).toMatch(/^SetupError: pip could not install torch 2\.15\.0 \(status 3.*LIBTORCH/);
  expect(run(install, { PATH: place("empty"), ASVR_CACHE: cache })).toMatch(/python3 did not start.*python3-pip/);
  expect(readdirSync(cache)).toEqual([]);
});

// A compiler that only makes the file after -o.
const compiler = `
while [ "$1" != "-o" ]; do shift; done
/bin/sleep 0.1
echo made > "$2"`;

test("two builds at once both end with one addon, and a third finds it", async () => {
  const cache = place("build-cache");
  const libtorch = { root: fakeLibtorch("for-build", "2.15.0"), version: "2.15.0", source: "a test" };
  const body = `return buildAddon(${JSON.stringify(libtorch)}, () => {});`;
  const env = { CXX: executable("slow-compiler", compiler), ASVR_CACHE: cache };
  const results = (await Promise.all([runAsync(body, env), runAsync(body, env)])).map((line) => JSON.parse(line));
  const { addon } = results[0];
  expect(results).toEqual([
    { addon, built: true },
    { addon, built: true },
  ]);
  expect(existsSync(addon)).toBe(true);
  expect(readdirSync(join(cache, "addons"))).toEqual([dirname(addon).split("/").at(-1)]);
  const [note, ...others] = readdirSync(join(cache, "current"));
  expect(others).toEqual([]);
  const noted = { package: dirname(scripts), addon, libtorch };
  expect(JSON.parse(readFileSync(join(cache, "current", note!), "utf8"))).toEqual(noted);
  expect(JSON.parse(run(body, env))).toEqual({ addon, built: false });
});

test("no compiler, or one that fails, is said plainly and leaves nothing behind", () => {
  const cache = place("build-cache-2");
  const libtorch = { root: fakeLibtorch("for-build-2", "2.15.0"), version: "2.15.0", source: "a test" };
  const body = `return buildAddon(${JSON.stringify(libtorch)}, () => {});`;
  const env = { ASVR_CACHE: cache };
  expect(run(body, { ...env, CXX: join(folder, "no-compiler") })).toMatch(
    /^SetupError: .*no-compiler did not start.*apt install g\+\+/,
  );
  expect(run(body, { ...env, CXX: executable("bad-compiler", "exit 1") })).toMatch(
    /^SetupError: .*bad-compiler failed with status 1/,
  );
  expect(readdirSync(cache)).toEqual(["addons"]);
  expect(readdirSync(join(cache, "addons"))).toEqual([]);
});

test("a cache that cannot be written is named, with what to do", () => {
  const file = join(folder, "a-file");
  writeFileSync(file, "");
  const output = run("return installLibtorch(() => {});", { ASVR_CACHE: file });
  expect(output).toMatch(/^SetupError: .*a-file cannot be written.*ASVR_CACHE/);
});

test("the commands: help, a wrong option, and a real set-up that does nothing the second time", () => {
  const command = (...args: string[]) =>
    spawnSync(process.execPath, [join(scripts, "..", "bin", "asvr-torch.js"), ...args], { encoding: "utf8" });
  expect(command()).toMatchObject({ status: 0, stderr: expect.stringContaining("npx @asvr/torch setup") });
  expect(command("nope").status).toBe(2);
  expect(command("setup", "--nope")).toMatchObject({ status: 2, stdout: "" });
  expect(JSON.parse(command("setup", "--json").stdout)).toMatchObject({
    libtorch: { version: expect.stringMatching(/^2\./), source: expect.any(String), root: expect.any(String) },
    addon: expect.stringMatching(/\.node$/),
    built: false,
  });
  // Through a link, as some package managers install it.
  const link = join(folder, "linked-setup.mjs");
  symlinkSync(join(scripts, "setup.mjs"), link);
  const linked = spawnSync(process.execPath, [link], { encoding: "utf8" });
  expect(linked.stdout).toMatch(/^nothing to do: .*\n {2}libtorch {2}2\.\d+/);
});
