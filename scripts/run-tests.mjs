// Runs vitest in this process and gives what each test came to: what `test.mjs` and `test-goldens.mjs` share.
import { parseCLI, startVitest } from "vitest/node";

/**
 * @param {string[]} args as for `vitest run`
 * @param {unknown[]} reporters vitest's own that shall print
 * @returns {Promise<{name: string, state: "passed" | "failed" | "skipped", why: string}[]>} one entry a test; a file
 *   that could not be loaded and an error outside of any test are entries too
 */
export async function runTests(args, reporters) {
  const results = [];
  const collector = {
    onTestRunEnd(modules, unhandledErrors) {
      for (const module of modules) {
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
  const vitest = await startVitest("test", filter, { ...options, reporters: [...reporters, collector] });
  await vitest.close();
  return results;
}

/** The last line of every test command. @returns {{passed: number, failed: number, skipped: number}} */
export function summarize(results) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { state } of results) counts[state]++;
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  return counts;
}
