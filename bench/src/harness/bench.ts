import type { Peer } from "./peer.js";

/** What every bench is given. */
export interface BenchContext {
  peer: Peer;
  rounds: number;
  threads: number;
  /** Says how far it is, on standard error. */
  note: (text: string) => void;
}

export interface BenchResult {
  /** Ours / peer: lower is better. */
  ratio: number;
  /** Everything behind it. */
  parts: Readonly<Record<string, unknown>>;
  /** For people: a heading, then rows. */
  table: readonly (readonly string[])[];
}
