// `npm test`: the tests of all packages. Arguments go to vitest: `npm test -- packages/torch -t "tidy"`.
import { runTests, summarize } from "./run-tests.mjs";

const { results } = await runTests(process.argv.slice(2), ["default"]);
const { passed, failed } = summarize(results);
process.exitCode ||= failed > 0 || passed === 0 ? 1 : 0;
