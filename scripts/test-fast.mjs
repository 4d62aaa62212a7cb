// `npm run test:fast`: all tests but those of `*.slow.test.ts` and `*.slow.golden.test.ts`, which start commands, kill
// them, watch memory over long runs, or wait for the tools of others. Arguments go to vitest, as with `npm test`. Its
// last lines name the files that took longest, so that one that belongs among the slow ones is seen.
import { runTests, summarize } from "./run-tests.mjs";

const started = performance.now();
const { results, files } = await runTests(["--exclude=**/*.slow.*", ...process.argv.slice(2)], ["default"]);
const whole = (performance.now() - started) / 1000;
files.sort((a, b) => b.seconds - a.seconds);
process.stdout.write(`${files.length} files in ${whole.toFixed(0)} s. The slowest, with their imports:\n`);
for (const { path, seconds } of files.slice(0, 8))
  process.stdout.write(`${seconds.toFixed(1).padStart(7)} s  ${path}\n`);
const { passed, failed } = summarize(results);
process.exitCode ||= failed > 0 || passed === 0 ? 1 : 0;
