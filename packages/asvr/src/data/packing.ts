import { ConfigError, DataError } from "../errors.js";
import {
  countImageTokens,
  IGNORE_INDEX,
  IMAGE_TOKEN_INDEX,
  type ImageRef,
  type ImageTokenCount,
  type Sample,
} from "./samples.js";

/**
 * Samples packed into rows without padding between them. A row holds documents side by side, which do not see each
 * other; a document holds a prefix (segment 0: the picture, and all that its samples begin with) and its continuations
 * (segments 1, 2, …: the rest of each sample), each of which sees the prefix and itself. So the tokens that a target
 * sees, and their positions, are those of its sample alone, while a picture with five questions passes the model once.
 *
 * Flat arrays are (rows, length), row by row; "flat index" means row * length + column.
 */
export interface PackedBatch {
  readonly rows: number;
  readonly length: number;
  /** Token ids; 0 where a picture or padding is. */
  readonly inputIds: Int32Array;
  /** Rotary positions: from 0 in every document, and from the prefix's length in every continuation; 0 at padding. */
  readonly positions: Int32Array;
  /** Number of the document in its row; -1 at padding. */
  readonly documents: Int32Array;
  /** 0 in the prefix, k in the k-th continuation; 0 at padding. */
  readonly segments: Int32Array;
  /** Where the visual tokens of each picture go: columns [start, start + length) of a row. */
  readonly images: readonly { ref: ImageRef; row: number; start: number; length: number }[];
  /**
   * What is to be predicted: the hidden state at flat index positions[n] predicts ids[n]. A position may occur several
   * times: the last token of a prefix predicts the first of every continuation.
   */
  readonly targets: { readonly positions: Int32Array; readonly ids: Int32Array };
  /** In the order in which they are packed. */
  readonly sampleIds: readonly string[];
  /** Tokens that are no padding. */
  readonly tokenCount: number;
}

export interface PackingOptions {
  /** The most tokens of a row. */
  capacity: number;
  /** Visual tokens of a picture. */
  imageTokens: ImageTokenCount;
  /**
   * Give samples of one picture one copy of all that they begin with, and leave out what no target reads (an end token
   * that is only predicted); or lay every sample out whole. Losses and gradients are the same.
   */
  compact: boolean;
}

export interface PlannedDocument {
  /** Entries of its samples that are the prefix. */
  readonly prefixEntries: number;
  /** Tokens of the prefix, visual ones counted. */
  readonly prefixLength: number;
  /** Tokens of the whole document. */
  readonly length: number;
  /** Places in the list of samples; the prefix is that of the first. */
  readonly samples: readonly number[];
}

export interface PlannedRow {
  readonly length: number;
  readonly documents: readonly PlannedDocument[];
}

/**
 * Whether the token at flat index i attends to that at j. Padding sees itself, so that no softmax is empty.
 */
export function sees(
  { length, documents, segments }: Pick<PackedBatch, "length" | "documents" | "segments">,
  i: number,
  j: number,
): boolean {
  if (i === j) return true;
  if (j > i || documents[i] === -1) return false;
  const sameRow = Math.floor(i / length) === Math.floor(j / length);
  const sameDocument = sameRow && documents[i] === documents[j];
  return sameDocument && (segments[j] === 0 || segments[j] === segments[i]);
}

/** Plans and fills. @throws DataError, ConfigError as `planRows` */
export function packSamples(samples: readonly Sample[], options: PackingOptions): PackedBatch {
  return fillRows(samples, planRows(samples, options), options);
}

/**
 * Which samples share a document, and which documents a row: each, in order of its first sample, goes into the first
 * row with room. The samples of one prefix stay together unless they are more than a row holds.
 * @throws DataError when a sample alone is over the capacity, or its pictures and tokens disagree
 */
export function planRows(samples: readonly Sample[], options: PackingOptions): PlannedRow[] {
  const { capacity } = options;
  if (!Number.isInteger(capacity) || capacity < 1) {
    throw new ConfigError(`packing: capacity is ${capacity}; give the tokens of a row.`);
  }
  const rows: { length: number; documents: PlannedDocument[] }[] = [];
  for (const document of planDocuments(samples, options)) {
    let row = rows.find(({ length }) => length + document.length <= capacity);
    if (!row) {
      row = { length: 0, documents: [] };
      rows.push(row);
    }
    row.documents.push(document);
    row.length += document.length;
  }
  return rows;
}

/**
 * Writes planned rows out.
 * @returns rows as long as the longest one
 */
export function fillRows(
  samples: readonly Sample[],
  plan: readonly PlannedRow[],
  { imageTokens, compact }: Pick<PackingOptions, "imageTokens" | "compact">,
): PackedBatch {
  const length = plan.reduce((longest, row) => Math.max(longest, row.length), 0);
  const writer = new RowWriter(plan.length, length, imageTokens);
  const targets: { positions: number[]; ids: number[] } = { positions: [], ids: [] };
  const sampleIds: string[] = [];
  for (const [row, { documents }] of plan.entries()) {
    writer.startRow(row);
    for (const [document, { prefixEntries: shared, prefixLength, samples: members }] of documents.entries()) {
      const first = samples[members[0]!]!;
      const prefix = writer.write(first, 0, shared, { document, segment: 0, position: 0 });
      for (const [index, member] of members.entries()) {
        const sample = samples[member]!;
        const place = { document, segment: index + 1, position: prefixLength };
        const lastOf = [...prefix, ...writer.write(sample, shared, readEntries(sample, compact), place)];
        for (const [entry, label] of sample.labels.entries()) {
          if (label === IGNORE_INDEX || entry === 0) continue; // nothing predicts a first token
          targets.positions.push(lastOf[entry - 1]!);
          targets.ids.push(label);
        }
        sampleIds.push(sample.id);
      }
    }
  }
  const { inputIds, positions, documents, segments, images, tokenCount } = writer;
  return {
    rows: plan.length,
    length,
    inputIds,
    positions,
    documents,
    segments,
    images,
    targets: { positions: Int32Array.from(targets.positions), ids: Int32Array.from(targets.ids) },
    sampleIds,
    tokenCount,
  };
}

/** Fills the flat arrays of a batch from left to right. */
class RowWriter {
  readonly inputIds: Int32Array;
  readonly positions: Int32Array;
  readonly documents: Int32Array;
  readonly segments: Int32Array;
  readonly images: { ref: ImageRef; row: number; start: number; length: number }[] = [];
  tokenCount = 0;
  #row = 0;
  #next = 0; // flat index

  constructor(
    rows: number,
    readonly length: number,
    readonly imageTokens: ImageTokenCount,
  ) {
    const size = rows * length;
    this.inputIds = new Int32Array(size);
    this.positions = new Int32Array(size);
    this.documents = new Int32Array(size).fill(-1);
    this.segments = new Int32Array(size);
  }

  startRow(row: number): void {
    this.#row = row;
    this.#next = row * this.length;
  }

  /**
   * Writes entries [from, to) of a sample, the first of them at `position`.
   * @returns for each entry, the flat index of its last token
   */
  write(
    { inputIds, image }: Sample,
    from: number,
    to: number,
    { document, segment, position }: { document: number; segment: number; position: number },
  ): number[] {
    const start = this.#next;
    const lastOf: number[] = [];
    for (const token of inputIds.subarray(from, to)) {
      if (token === IMAGE_TOKEN_INDEX) this.#placeImage(image!);
      else this.inputIds[this.#next++] = token;
      lastOf.push(this.#next - 1);
    }
    for (let at = start; at < this.#next; at++) this.positions[at] = position + at - start;
    this.documents.fill(document, start, this.#next);
    this.segments.fill(segment, start, this.#next);
    this.tokenCount += this.#next - start;
    return lastOf;
  }

  #placeImage(ref: ImageRef): void {
    const length = countImageTokens(this.imageTokens, ref);
    this.images.push({ ref, row: this.#row, start: this.#next - this.#row * this.length, length });
    this.#next += length;
  }
}

/** Groups samples by prefix, in order of the first sample of each; a group that is over the capacity is split. */
function planDocuments(samples: readonly Sample[], options: PackingOptions): PlannedDocument[] {
  const { capacity, imageTokens, compact } = options;
  const groups = new Map<string, number[]>();
  for (const [index, sample] of samples.entries()) {
    requireValid(sample);
    const key = compact && basePrefix(sample) > 0 ? prefixKey(sample) : `sample ${index}`;
    const group = groups.get(key);
    if (group) group.push(index);
    else groups.set(key, [index]);
  }
  const planned: { prefixEntries: number; prefixLength: number; length: number; samples: number[] }[] = [];
  for (const members of groups.values()) {
    const group = members.map((member) => samples[member]!);
    const prefixEntries = compact ? commonPrefix(group) : basePrefix(group[0]!);
    const prefixLength = tokensOf(group[0]!, prefixEntries, imageTokens);
    let document: (typeof planned)[number] | undefined;
    for (const member of members) {
      const sample = samples[member]!;
      const own = tokensOf(sample, readEntries(sample, compact), imageTokens) - prefixLength;
      if (prefixLength + own > capacity) {
        throw new DataError(
          `packing: sample ${sample.id} has ${prefixLength + own} tokens, and a row holds ${capacity}. Raise the capacity, or build samples with a maxLength of at most ${capacity}.`,
        );
      }
      if (!document || document.length + own > capacity) {
        document = { prefixEntries, prefixLength, length: prefixLength, samples: [] };
        planned.push(document);
      }
      document.samples.push(member);
      document.length += own;
    }
  }
  return planned.sort((a, b) => a.samples[0]! - b.samples[0]!);
}

/** Entries that make samples a group: as the sample says, or those up to and including the picture. */
function basePrefix({ inputIds, prefixLength }: Sample): number {
  return prefixLength ?? inputIds.indexOf(IMAGE_TOKEN_INDEX) + 1;
}

/**
 * Entries with which all samples of a group begin. Each keeps one of its own: that is where a prompt's answer begins.
 */
function commonPrefix(group: readonly Sample[]): number {
  const [first, ...others] = group as [Sample, ...Sample[]];
  let shared = basePrefix(first);
  if (others.length === 0) return shared;
  const most = Math.min(...group.map((sample) => readEntries(sample, true))) - 1;
  const isCommon = (entry: number) => {
    const token = first.inputIds[entry]!; // a later picture may be another one
    return token !== IMAGE_TOKEN_INDEX && others.every(({ inputIds }) => inputIds[entry] === token);
  };
  while (shared < most && isCommon(shared)) shared++;
  return shared;
}

/** Entries that a target or a picture's codes read: without any target, as in a prompt, all of them. */
function readEntries(sample: Sample, compact: boolean): number {
  const { inputIds, labels } = sample;
  const lastTarget = labels.findLastIndex((label) => label !== IGNORE_INDEX);
  if (!compact || lastTarget <= 0) return inputIds.length;
  return Math.max(lastTarget, basePrefix(sample), inputIds.lastIndexOf(IMAGE_TOKEN_INDEX) + 1);
}

/** Tokens of the first entries of a sample, visual ones counted. */
function tokensOf({ inputIds, image }: Sample, entries: number, imageTokens: ImageTokenCount): number {
  const hasImage = inputIds.subarray(0, entries).includes(IMAGE_TOKEN_INDEX);
  return hasImage ? entries - 1 + countImageTokens(imageTokens, image!) : entries;
}

/** Equal for samples whose prefixes are. */
function prefixKey(sample: Sample): string {
  const ids = sample.inputIds.subarray(0, basePrefix(sample)).join(",");
  return hasImageInPrefix(sample) ? `${ids} ${sample.image!.key}` : ids;
}

function hasImageInPrefix(sample: Sample): boolean {
  return sample.inputIds.subarray(0, basePrefix(sample)).includes(IMAGE_TOKEN_INDEX);
}

function requireValid(sample: Sample): void {
  const { id, image, inputIds, labels, prefixLength = 0 } = sample;
  const tags = inputIds.filter((token) => token === IMAGE_TOKEN_INDEX).length;
  if (tags !== (image ? 1 : 0)) {
    throw new DataError(`packing: sample ${id} has ${tags} image positions and ${image ? "a" : "no"} picture.`);
  }
  if (labels.length !== inputIds.length || prefixLength < 0 || prefixLength > inputIds.length) {
    throw new DataError(
      `packing: sample ${id} has ${inputIds.length} ids, ${labels.length} labels and a prefixLength of ${prefixLength}; the first two must agree, the third not be over them.`,
    );
  }
}
