// `node scripts/benchmark-fixtures.mjs [FOLDER]`: writes a few questions of each benchmark in its published format, as
// they are kept in packages/asvr/fixtures/benchmarks. The questions are in the source that tests use, which is not built.
import { createViteServer } from "vitest/node";

const server = await createViteServer({
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true },
  resolve: { conditions: ["asvr-source"] },
});
try {
  const { writeBenchmarkFixtures } = await server.ssrLoadModule("/packages/asvr/src/evaluation/benchmarks/fixture.ts");
  await writeBenchmarkFixtures(process.argv[2] ?? "packages/asvr/fixtures/benchmarks");
} finally {
  await server.close();
}
