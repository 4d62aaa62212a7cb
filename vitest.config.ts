import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["asvr-source"] },
  ssr: { resolve: { conditions: ["asvr-source"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts"],
    pool: "forks", // the addon holds state: a process for each file
    maxWorkers: 2,
    testTimeout: 60_000,
    // Files run side by side already, and small tensors gain nothing from libtorch's own threads.
    env: { OMP_NUM_THREADS: "1" },
  },
});
