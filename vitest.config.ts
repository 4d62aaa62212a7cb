import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["asvr-source"] },
  ssr: { resolve: { conditions: ["asvr-source"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "bench/src/**/*.test.ts"],
    pool: "forks", // the addon holds state: a process for each file
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Some tests start, stop and kill processes: a busy machine may be late once. A defect fails twice.
    retry: process.env.CI ? 1 : 0,
    // Files run side by side already, and small tensors gain nothing from libtorch's own threads.
    env: { OMP_NUM_THREADS: "1" },
  },
});
