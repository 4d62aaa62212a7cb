import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runtimeInfo } from "@asvr/torch";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { run } from "./cli.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-bench-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** Exit status, and what was written. */
async function bench(...args: string[]): Promise<{ status: number; output: string; errors: string }> {
  const written = { output: "", errors: "" };
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.output += text;
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written.errors += text;
    return true;
  });
  return { status: await run(["node", "bench", ...args]), ...written };
}

/** A stand-in for Python that answers the question for its versions, or ends with an error. */
function fakePython(answer: string | null): string {
  const file = join(folder, "python");
  writeFileSync(file, answer === null ? "#!/bin/sh\nexit 1\n" : `#!/bin/sh\necho '${answer}'\n`);
  chmodSync(file, 0o755);
  return file;
}

test("--help lists every bench and what it measures", async () => {
  const { status, output } = await bench("--help");
  expect(status).toBe(0);
  for (const name of ["operators", "micro-step", "startup", "head", "decode", "eval", "demo"])
    expect(output).toContain(name);
});

test.each([
  [["speed"], "unknown command 'speed'"],
  [["operators", "--rnus", "3"], "unknown option '--rnus'"],
  [["operators", "--runs", "none"], "it must be a whole number of 1 or more"],
  [[], "Usage"],
])("%j is a wrong call", async (args, message) => {
  const { status, errors } = await bench(...args);
  expect(status).toBe(2);
  expect(errors).toContain(message);
});

test("what the README calls is there", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const calls = Array.from(readme.matchAll(/npm run bench -- ([a-z-]*)([^`\n]*)/g), ([, name, rest]) => ({
    name,
    rest,
  }));
  expect(calls.length).toBeGreaterThan(3);
  for (const { name, rest } of calls) {
    const { status, output } = await bench(name!, "--help");
    expect({ name, status }).toEqual({ name, status: 0 });
    for (const [option] of rest!.matchAll(/--[a-z]+/g)) expect(output).toContain(option);
  }
});

test.each([
  ["no torch", '{"python": "3.11.7", "torch": null}', "is Python 3.11.7 and has no torch"],
  ["another torch", '{"python": "3.11.7", "torch": "2.4.1+cpu"}', "is Python 3.11.7 with torch 2.4.1+cpu"],
  ["nothing to run", null, "cannot be run"],
])("a peer with %s is refused, and the message says what to install", async (_, answer, message) => {
  vi.stubEnv("PEER_PYTHON", fakePython(answer));
  const { status, errors } = await bench("operators");
  expect(status).toBe(2);
  expect(errors).toContain(message);
  expect(errors).toContain(`pip install torch==${runtimeInfo().libtorch}`);
});
