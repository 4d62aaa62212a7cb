// Loading, in processes of its own: these use the compiled package, as a user's program does.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { currentBuild } from "./native.js";

const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), "asvr-load-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of the compiled package whose last build is said to be `build`. @returns the address of its index */
function copyOfPackage(name: string, build?: object): string {
  const copy = join(folder, name);
  cpSync(join(packageRoot, "dist"), join(copy, "dist"), { recursive: true });
  cpSync(join(packageRoot, "package.json"), join(copy, "package.json"));
  if (build) {
    mkdirSync(join(copy, "build"));
    writeFileSync(join(copy, "build", "current.json"), JSON.stringify(build));
  }
  return pathToFileURL(join(copy, "dist", "index.js")).href;
}

function run(program: string, flags: string[] = []): { output: string; status: number | null } {
  const child = spawnSync(process.execPath, [...flags, "--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 50_000,
  });
  return { output: child.stdout + child.stderr, status: child.status };
}

const report = (address: string) =>
  `import(${JSON.stringify(address)}).then(() => console.log("loaded"), (e) => console.log(e.name + ": " + e.message))`;

test("without a build the error says what was looked for and how to build it", () => {
  const { output } = run(report(copyOfPackage("unbuilt")));
  expect(output).toContain("LoadError: libtorch's addon has not been built yet.");
  expect(output).toContain(join(folder, "unbuilt", "build", "current.json"));
  expect(output).toContain("@asvr/torch/scripts/setup.mjs");
  expect(output).toMatch(/python3 with pip[\s\S]*LIBTORCH[\s\S]*g\+\+/);
});

test("an addon or a libtorch that is gone is named, with what to do", () => {
  const build = {
    addon: "/nowhere/asvr_torch.node",
    libtorch: { root: "/nowhere/torch", version: "2.15.0", source: "LIBTORCH" },
  };
  const { output } = run(report(copyOfPackage("moved", build)));
  expect(output).toContain("LoadError: libtorch's addon could not be loaded.");
  expect(output).toContain("/nowhere/asvr_torch.node  (not there)");
  expect(output).toContain("/nowhere/torch  (not there), from LIBTORCH");
  expect(output).toContain("scripts/setup.mjs");
});

test("an addon that is no library gives the loader's own reason too", () => {
  const addon = join(folder, "broken.node");
  writeFileSync(addon, "this is no library");
  const { output } = run(report(copyOfPackage("broken", { ...currentBuild(), addon })));
  expect(output).toMatch(/could not be loaded[\s\S]*reason {4}.*broken\.node/);
});

test("a file that says what was built and can't be read says so", () => {
  const address = copyOfPackage("cut", {});
  writeFileSync(join(folder, "cut", "build", "current.json"), '{"addon":');
  const { output } = run(report(address));
  expect(output).toContain("LoadError");
  expect(output).toContain(join(folder, "cut", "build", "current.json"));
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
  expect(run(program, ["--expose-gc"]).output).toBe("1001 1 1,2,3\n");
});
