import { Random } from "../random.js";
import { type Concept, THINGS, type Things } from "./things.js";
import { VENDORS, type Vendor } from "./world.js";

export const SPLIT_NAMES = ["encoder", "text", "train", "test-seen", "test-novel"] as const;
export type SplitName = (typeof SPLIT_NAMES)[number];

/**
 * Which things and real pictures a split may use. Encoder and train share one supply; both tests share another one of
 * digits and of photograph, so that what is novel about test-novel is its drawings alone.
 */
export interface Split {
  readonly name: SplitName;
  readonly things: Things;
  readonly vendors: ReadonlyMap<Concept, readonly Vendor[]>;
  /** Side of every photograph, and of every digit's samples, that is used. */
  readonly side: "train" | "test";
  /** Where this side's samples of a digit lie: indices in [first, end). */
  digits(value: number): { readonly first: number; readonly end: number };
}

/** For each concept the vendor whose drawing is never trained on. */
export function heldOutVendors(seed: number, { concepts }: Things = THINGS.standard): Map<Concept, Vendor> {
  const random = new Random(seed).fork("held-out vendors");
  return new Map(concepts.map((concept) => [concept, random.fork(concept).pick(VENDORS)]));
}

/** @param digitCounts how many samples of each digit exist; the last fifth is kept for tests */
export function makeSplit(
  name: SplitName,
  seed: number,
  digitCounts: readonly number[],
  things: Things = THINGS.standard,
): Split {
  const heldOut = heldOutVendors(seed, things);
  const side = name === "test-seen" || name === "test-novel" ? "test" : "train";
  const allowed = (concept: Concept): Vendor[] =>
    VENDORS.filter((vendor) => (vendor === heldOut.get(concept)) === (name === "test-novel"));
  return {
    name,
    things,
    vendors: new Map(things.concepts.map((concept) => [concept, allowed(concept)])),
    side,
    digits: (value) => {
      const border = Math.floor((digitCounts[value]! * 4) / 5);
      return side === "train" ? { first: 0, end: border } : { first: border, end: digitCounts[value]! };
    },
  };
}
