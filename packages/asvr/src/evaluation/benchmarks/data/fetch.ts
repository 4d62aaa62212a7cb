import { type HubOptions, resolveDataset } from "../../../checkpoints/hub/resolve.js";
import type { Benchmark } from "../benchmark.js";
import { pathsToFetch } from "./find.js";
import { sourceOf } from "./load.js";

export interface FetchBenchmarkOptions extends HubOptions {
  /** Another published copy than the benchmark's own: `owner/name`, or `owner/name@revision`. */
  readonly id?: string;
  readonly split?: string;
}

/**
 * The folder of a benchmark's files in the cache that Python's huggingface_hub uses; what it lacks of the split is fetched
 * from the hub. `loadBenchmark` takes it.
 * @throws ConfigError offline, when the cache has nothing of it, and when the data set has no such files
 * @throws DataError for a file that is not what the repository says
 */
export async function fetchBenchmark(
  benchmark: Benchmark,
  { id, split, ...hub }: FetchBenchmarkOptions = {},
): Promise<string> {
  const data = sourceOf(benchmark, split);
  return resolveDataset(id ?? data.hub, (paths) => pathsToFetch(paths, data), hub);
}
