/** What a set-up came to. */
export interface SetupResult {
  /** `source` says in words where it comes from; `root` has its `include/` and `lib/`. */
  libtorch: { version: string; source: string; root: string };
  /** Whether libtorch was installed now. */
  installed: boolean;
  /** The addon's file. */
  addon: string;
  /** False where that build was there already. */
  built: boolean;
}

/**
 * Finds libtorch, installs it if it is nowhere, and builds the addon unless that build exists.
 * @param log takes a line for each step that lasts; default: standard error
 * @throws an Error named SetupError when something is missing; its message says what to do
 */
export function setup(log?: (line: string) => void): Promise<SetupResult>;

/** What a set-up came to, in words: three lines. */
export function summaryOf(result: SetupResult): string;

/** Where what is made or fetched once is kept: ASVR_CACHE, or `asvr` in the user's folder for caches. */
export function cacheFolder(): string;
