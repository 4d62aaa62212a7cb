// Loading, in processes of its own: these use the compiled package, as a user's program does.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { currentBuild } from "./native.js";

const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = realpathSync(mkdtempSync(join(tmpdir(), "asvr-load-")));
afterAll(() => rmSync(folder, { recursive: true }));
const cache = { ASVR_CACHE: join(folder, "cache") };

/** A copy of the compiled package, with the file that says what was built for it. */
function copyOfPackage(name: string): { address: string; current: string } {
  const copy = join(folder, name);
  for (const part of ["dist", "native", "scripts", "package.json"]) {
    cpSync(join(packageRoot, part), join(copy, part), { recursive: true });
  }
  const place = pathToFileURL(join(copy, "scripts", "cache.mjs")).href;
  const current = run(`import(${JSON.stringify(place)}).then((m) => console.log(m.currentFile()))`, { env: cache });
  return { address: pathToFileURL(join(copy, "dist", "index.js")).href, current: current.output.trim() };
}

/** A copy whose last build is said to be `build`. @returns what loading it says */
function loadWith(name: string, build: object | string): string {
  const { address, current } = copyOfPackage(name);
  mkdirSync(dirname(current), { recursive: true });
  writeFileSync(current, typeof build === "string" ? build : JSON.stringify(build));
  return run(report(address), { env: cache }).output;
}

function run(
  program: string,
  { flags = [], env = {} }: { flags?: string[]; env?: Record<string, string> } = {},
): { output: string; status: number | null } {
  const child = spawnSync(process.execPath, [...flags, "--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 50_000,
    env: { ...process.env, ...env },
  });
  return { output: child.stdout + child.stderr, status: child.status };
}

const report = (address: string) =>
  `import(${JSON.stringify(address)}).then(() => console.log("loaded"), (e) => console.log(e.name + ": " + e.message))`;

test("without a build the error says what was looked for and how to build it", () => {
  const { address, current } = copyOfPackage("unbuilt");
  expect(current).toMatch(new RegExp(`^${folder}/cache/current/[0-9a-f]{16}\\.json$`));
  const { output } = run(report(address), { env: cache });
  expect(output).toContain("LoadError: libtorch's addon has not been built yet");
  expect(output).toContain(current);
  expect(output).toContain("npx @asvr/torch setup");
  expect(output).toContain(`node ${folder}/unbuilt/scripts/setup.mjs`);
  expect(output).toMatch(/python3 with pip[\s\S]*LIBTORCH[\s\S]*g\+\+/);
});

test("each copy of the package, and each state of the addon's sources, has a build of its own", () => {
  const [one, other] = [copyOfPackage("one"), copyOfPackage("other")];
  expect(one.current).not.toBe(other.current);
  writeFileSync(join(folder, "one", "native", "addon.cc"), "// the next version");
  const place = pathToFileURL(join(folder, "one", "scripts", "cache.mjs")).href;
  const { output } = run(`import(${JSON.stringify(place)}).then((m) => console.log(m.currentFile()))`, { env: cache });
  expect(output.trim()).not.toBe(one.current);
});

test("an addon or a libtorch that is gone is named, with what to do", () => {
  const output = loadWith("moved", {
    addon: "/nowhere/asvr_torch.node",
    libtorch: { root: "/nowhere/torch", version: "2.15.0", source: "LIBTORCH" },
  });
  expect(output).toContain("LoadError: libtorch's addon could not be loaded.");
  expect(output).toContain("/nowhere/asvr_torch.node  (not there)");
  expect(output).toContain("/nowhere/torch  (not there), from LIBTORCH");
  expect(output).toContain("npx @asvr/torch setup");
});

test("an addon that is no library gives the loader's own reason too", () => {
  const addon = join(folder, "broken.node");
  writeFileSync(addon, "this is no library");
  expect(loadWith("broken", { ...currentBuild(), addon })).toMatch(
    /could not be loaded[\s\S]*reason {4}.*broken\.node/,
  );
});

test("a file that says what was built and can't be read says so", () => {
  expect(loadWith("cut", '{"addon":')).toMatch(/LoadError: .*cache\/current\/.*can't be read .*Delete it/);
});

test("tensors that were forgotten outside of every scope are freed by the collector", () => {
  const program = `
    import { memory, tensor } from ${JSON.stringify(pathToFileURL(join(packageRoot, "dist", "index.js")).href)};
    const owned = tensor([1, 2, 3]);
    (() => { for (let i = 0; i < 1000; i++) tensor([i]); })();
    const before = memory().tensors;
    for (let turn = 0; turn < 50 && memory().tensors > 1; turn++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    console.log(before, memory().tensors, owned.toNumbers().join());
  `;
  expect(run(program, { flags: ["--expose-gc"] }).output).toBe("1001 1 1,2,3\n");
});
