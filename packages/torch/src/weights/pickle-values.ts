import type { DType } from "../dtype.js";

/**
 * What a pickle can be made of here. dict and OrderedDict are maps, list and tuple arrays (tuples frozen), set and
 * frozenset sets, bytes Uint8Array; an int past 2^53 is a bigint, a device its name.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickledFunction
  | PickledDType
  | StorageType
  | PickledStorage
  | PickledTensor;

/** Throws: what is wrong with the pickle, at the byte that was read last. */
export type Fail = (problem: string) => never;

/** What a function may do besides making its result. */
export interface Caller {
  readonly fail: Fail;
  /** Counts what is made from what was there before, of which a few bytes could otherwise make gigabytes. */
  charge(count: number): void;
}

/** A function that a pickle may call: it makes a value from values and does nothing else. */
export class PickledFunction {
  constructor(
    readonly name: string,
    readonly call: (args: readonly PickleValue[], caller: Caller) => PickleValue,
  ) {}
}

/** A dtype as a value. */
export class PickledDType {
  constructor(readonly dtype: DType) {}
}

/** The class of a storage; one without a dtype counts bytes. */
export class StorageType {
  constructor(readonly dtype: DType | null) {}
}

/** Numbers of a tensor, or of several: a record of the archive, by its key. */
export class PickledStorage {
  constructor(
    readonly dtype: DType | null,
    readonly key: string,
    /** Elements, or bytes where there is no dtype. */
    readonly count: number,
  ) {}
}

/** A tensor as a pickle describes it: which elements of which storage. Nothing is checked yet. */
export class PickledTensor {
  constructor(
    readonly storage: PickledStorage,
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    /** Elements before the first. */
    readonly offset: number,
  ) {}
}
