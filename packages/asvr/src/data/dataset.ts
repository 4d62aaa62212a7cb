import { DataError } from "../errors.js";
import type { Fault } from "../fault.js";
import { resolveImage } from "./paths.js";
import { type LlavaRecord, type RecordOptions, readRecords } from "./records.js";
import { buildSample, imagesIn, type Sample, type SampleOptions } from "./samples.js";

/** Pictures that are looked at side by side: decoding runs on threads of its own. */
const IN_FLIGHT = 8;

/** A file of records, checked throughout: form, paths, lengths and pictures. */
export interface Dataset {
  /** The good records, in order. */
  records: LlavaRecord[];
  /** The sample of each, where samples were asked for. Pictures are known by their real path. */
  samples: Sample[];
  /** What is wrong with the others, in order of the file; and with the file as a whole. */
  faults: Fault[];
  /** Records that the file holds, good and bad. */
  total: number;
  /** Different pictures that the good records show. */
  pictures: string[];
}

export interface DatasetOptions extends RecordOptions {
  /** What makes samples of the records; without it what does not fit into one is no fault. */
  samples?: Omit<SampleOptions, "imageRef">;
  /**
   * Is given every picture once, by its real path. A DataError that it throws is a fault of all records that show the
   * picture.
   */
  lookAt: (path: string) => Promise<void>;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Reads and checks records. Nothing is left out in silence: what is not among the records is among the faults. */
export async function readDataset(file: string, options: DatasetOptions): Promise<Dataset> {
  const { imagesFolder } = options;
  const { records, places, faults, total } = await readRecords(file, options);
  if (total === 0 && faults.length === 0) {
    faults.push({ file, index: -1, field: "", kind: "no-records", message: "there is no record in it." });
  }
  const imageRef = imagesFolder === undefined ? undefined : imagesIn(imagesFolder);
  const { samples: wanted } = options;
  const samples = records.map((record, at) => {
    try {
      return wanted && buildSample(record, { ...wanted, ...(imageRef && { imageRef }) }).sample;
    } catch (error) {
      const { field, kind, message } = faultOf(error);
      faults.push({ file, index: places[at]!, field, kind, message });
      return undefined;
    }
  });
  const broken = await lookAtPictures(records, options);
  for (const [at, { image }] of records.entries()) {
    const found = image !== undefined && broken.get(resolveImage(imagesFolder!, image));
    if (!found) continue;
    faults.push({ ...found, file, index: places[at]!, field: "image", message: `${image}: ${found.message}` });
  }
  const bad = new Set(faults.map(({ index }) => index));
  const isGood = (_: unknown, at: number) => !bad.has(places[at]!);
  const good = records.filter(isGood);
  return {
    records: good,
    samples: samples.filter(isGood).filter((sample) => sample !== undefined),
    faults: faults.sort((a, b) => a.index - b.index),
    total,
    pictures: picturesOf(good, imagesFolder),
  };
}

/** Different pictures, by their real path. */
function picturesOf(records: readonly LlavaRecord[], imagesFolder: string | undefined): string[] {
  const named = records.flatMap(({ image }) => (image === undefined ? [] : [resolveImage(imagesFolder!, image)]));
  return [...new Set(named)];
}

/** The pictures with which something is wrong, by their real path. */
async function lookAtPictures(
  records: readonly LlavaRecord[],
  { imagesFolder, lookAt, onProgress, signal }: DatasetOptions,
): Promise<Map<string, Fault>> {
  const paths = picturesOf(records, imagesFolder);
  const broken = new Map<string, Fault>();
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < paths.length) {
      signal?.throwIfAborted();
      const path = paths[next++]!;
      try {
        await lookAt(path);
      } catch (error) {
        broken.set(path, faultOf(error));
      }
      onProgress?.(++done, paths.length);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return broken;
}

/** What a check found, or any other error as it is. */
function faultOf(error: unknown): Fault {
  if (!(error instanceof DataError)) throw error;
  // A template refuses turns without knowing of records.
  const ofTemplate = {
    file: "",
    index: -1,
    field: "conversations",
    kind: "turn-order",
    message: error.message,
  } as const;
  return error.faults[0] ?? ofTemplate;
}
