/** What can be wrong with data. Reports and tests count by these names. */
export type FaultKind =
  // the file
  | "not-a-file"
  | "git-lfs-pointer"
  | "not-an-array"
  | "truncated-file"
  | "no-records"
  | "too-many-faults"
  | "invalid-json"
  | "invalid-utf8"
  // the record
  | "wrong-shape"
  | "duplicate-id"
  | "unknown-role"
  | "turn-order"
  | "empty-answer"
  | "image-token-missing"
  | "image-token-doubled"
  | "image-token-in-answer"
  | "image-token-without-image"
  // the path of its picture
  | "absolute-path"
  | "path-escape"
  | "symlink-escape"
  | "missing-image"
  // the picture
  | "not-an-image"
  | "corrupt-image"
  | "unsupported-image"
  | "misnamed-image"
  | "animated-image"
  | "too-many-pixels"
  | "too-many-bytes"
  // the sample
  | "too-long"
  | "no-target";

/** One thing that is wrong, and where. */
export interface Fault {
  readonly file: string;
  /** Element of the array, line of a JSONL file or position in a list, from 0; -1: the file as a whole. */
  readonly index: number;
  /** Path inside the record, such as `conversations[1].value`; empty: the whole of it. */
  readonly field: string;
  readonly kind: FaultKind;
  readonly message: string;
}
