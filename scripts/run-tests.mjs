// Runs vitest in this process and gives what each test came to: what `npm test`, `test:fast` and `test:goldens` share.
import { parseCLI, startVitest } from "vitest/node";

/**
 * @param {string[]} args as for `vitest run`
 * @param {string[]} reporters vitest's own that shall print, unless `args` name others
 * @returns {Promise<{
 *   results: {name: string, state: "passed" | "failed" | "skipped", why: string}[],
 *   files: {path: string, seconds: number}[],
 * }>} results: one entry a test; a file that could not be loaded and an error outside of any test are entries too.
 *   files: how long each took, with its imports
 */
export async function runTests(args, reporters) {
  const [results, files] = [[], []];
  const collector = {
    onTestRunEnd(modules, unhandledErrors) {
      for (const module of modules) {
        const { collectDuration, duration } = module.diagnostic();
        files.push({ path: module.relativeModuleId, seconds: (collectDuration + duration) / 1000 });
        for (const error of module.errors()) {
          results.push({ name: module.relativeModuleId, state: "failed", why: error.message });
        }
        for (const test of module.children.allTests()) {
          const { state, errors = [], note } = test.result();
          results.push({
            name: test.name,
            state: state === "pending" ? "skipped" : state,
            why: errors[0]?.message ?? note ?? "",
          });
        }
      }
      for (const error of unhandledErrors) {
        results.push({ name: "outside of any test", state: "failed", why: error.message });
      }
    },
  };
  const { filter, options } = parseCLI(["vitest", "run", ...args]);
  const { reporter = reporters, ...others } = options; // one that is asked for prints in the place of ours
  const vitest = await startVitest("test", filter, { ...others, reporters: [...[reporter].flat(), collector] });
  await vitest.close();
  return { results, files };
}

/** The last line of every test command. @returns {{passed: number, failed: number, skipped: number}} */
export function summarize(results) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { state } of results) counts[state]++;
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  return counts;
}
