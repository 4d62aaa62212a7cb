import { ConfigError, DataError } from "../errors.js";
import type { Fault, FaultKind } from "../fault.js";
import {
  type ConversationTemplate,
  encodeSpans,
  IGNORE_INDEX,
  IMAGE_TOKEN_INDEX,
  renderConversation,
} from "../language/conversation.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import { faultError, requireWithinBudget } from "./faults.js";
import { resolveImage } from "./paths.js";
import type { LlavaRecord } from "./records.js";

export { IGNORE_INDEX, IMAGE_TOKEN_INDEX };

/** A picture by name. Two samples show the same picture if and only if their keys are equal. */
export interface ImageRef {
  /** The real path of a file, or any name that is unique in the data set for a picture that is made. */
  readonly key: string;
}

/** What the model is trained on, before packing. */
export interface Sample {
  readonly id: string;
  readonly image?: ImageRef;
  /** Token ids; IMAGE_TOKEN_INDEX stands for the whole picture. */
  readonly inputIds: Int32Array;
  /** As long as inputIds: the id where the model learns to say it, IGNORE_INDEX elsewhere. */
  readonly labels: Int32Array;
  /** How many leading entries may be shared with other samples; without it, those up to and including the picture. */
  readonly prefixLength?: number;
  readonly type?: string;
  readonly group?: string;
}

/** Visual tokens of a picture: one number for all, or as tiling gives it. */
export type ImageTokenCount = number | ((image: ImageRef) => number);

export interface SampleOptions {
  tokenizer: TextTokenizer;
  template: ConversationTemplate;
  imageTokens: ImageTokenCount;
  /** Limit of a sample in tokens, the visual ones included. */
  maxLength: number;
  /** Whether a longer sample is a fault or loses its end, as in LLaVA; never part of a picture. */
  whenTooLong?: "fault" | "cut";
  /** Names the picture of a record's path: `imagesIn(folder)` for files. Text-only data needs none. */
  imageRef?: (image: string) => ImageRef;
}

/** Pictures that are files of a folder. */
export function imagesIn(folder: string): (image: string) => ImageRef {
  return (image) => ({ key: resolveImage(folder, image) });
}

/** Token ids and labels of a record: what is learnt, and, of one that ends with a question, what is asked. */
export function encodeRecord(
  { conversations, context }: Pick<LlavaRecord, "conversations" | "context">,
  { tokenizer, template }: Pick<SampleOptions, "tokenizer" | "template">,
): { inputIds: number[]; labels: number[] } {
  return encodeSpans(tokenizer, renderConversation(template, conversations, context));
}

/**
 * The sample of a record, and whether it lost its end.
 * @throws DataError too-long when it does not fit (or, cut, would lose a part of its picture), no-target when nothing
 * is left to learn, image-token-… when picture and tags disagree, and what `imageRef` and `renderConversation` throw
 */
export function buildSample(record: LlavaRecord, options: SampleOptions): { sample: Sample; isCut: boolean } {
  const { tokenizer, template, imageTokens, maxLength, whenTooLong = "fault" } = options;
  const { id, context, type, group } = record;
  const refuse = (kind: FaultKind, message: string) =>
    faultError({ file: id, index: -1, field: "conversations", kind, message });
  const image = findImage(record, options);
  const { inputIds, labels } = encodeRecord(record, { tokenizer, template });
  const tags = inputIds.filter((token) => token === IMAGE_TOKEN_INDEX).length;
  if (!image && tags > 0) throw refuse("image-token-without-image", "there is an <image> tag, but no picture.");
  if (image && tags === 0) throw refuse("image-token-missing", "there is a picture, but no <image> tag.");
  if (tags > 1) throw refuse("image-token-doubled", `there are ${tags} <image> tags for one picture.`);

  const imageLength = image ? countImageTokens(imageTokens, image) : 0;
  const length = inputIds.length + (image ? imageLength - 1 : 0);
  let kept = inputIds.length;
  if (length > maxLength) {
    kept -= length - maxLength;
    const cutsImage = kept <= inputIds.indexOf(IMAGE_TOKEN_INDEX);
    if (whenTooLong === "fault" || cutsImage) {
      const parts = image ? ` (${imageLength} of them the picture's)` : "";
      const advice = cutsImage ? "" : ', shorten the record, or set whenTooLong: "cut"';
      throw refuse("too-long", `${length} tokens${parts} are over ${maxLength}. Raise maxLength${advice}.`);
    }
  }
  const sample: Sample = {
    id,
    ...(image && { image }),
    inputIds: Int32Array.from(inputIds.slice(0, kept)),
    labels: Int32Array.from(labels.slice(0, kept)),
    ...(context !== undefined && { prefixLength: Math.min(kept, countContext(tokenizer, context)) }),
    ...(type !== undefined && { type }),
    ...(group !== undefined && { group }),
  };
  if (!sample.labels.subarray(1).some((label) => label !== IGNORE_INDEX)) {
    const why = kept < inputIds.length ? `its first ${maxLength} tokens have no answer` : "it has no answer";
    throw refuse("no-target", `${why}: there is nothing to learn.`);
  }
  return { sample, isCut: kept < inputIds.length };
}

/**
 * Samples of records, in order.
 * @param options `file` is where the records come from, for the faults; their `index` counts in `records`
 * @returns the samples, a fault for every record without one, and the ids of samples that lost their end
 * @throws DataError when more than `maxBad` records are faulty
 */
export function buildSamples(
  records: readonly LlavaRecord[],
  { file, maxBad = 0, ...options }: SampleOptions & { file: string; maxBad?: number },
): { samples: Sample[]; faults: Fault[]; cut: string[] } {
  const samples: Sample[] = [];
  const faults: Fault[] = [];
  const cut: string[] = [];
  for (const [index, record] of records.entries()) {
    try {
      const { sample, isCut } = buildSample(record, options);
      samples.push(sample);
      if (isCut) cut.push(sample.id);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      // A template refuses turns without knowing of records.
      const fault = error.faults[0] ?? { field: "conversations", kind: "turn-order" as const, message: error.message };
      faults.push({ ...fault, file, index, message: `record ${record.id}: ${fault.message}` });
    }
  }
  requireWithinBudget(faults, records.length, maxBad, `records of ${file}`);
  return { samples, faults, cut };
}

/** Entries up to the end of the context. */
function countContext(tokenizer: TextTokenizer, context: string): number {
  return tokenizer.startIds.length + tokenizer.encodePieces([context]).flat().length;
}

function findImage({ id, image }: LlavaRecord, { imageRef }: SampleOptions): ImageRef | undefined {
  if (image === undefined) return undefined;
  if (imageRef) return imageRef(image);
  throw new ConfigError(`samples: record ${id} has a picture: set imageRef, as a rule to imagesIn(folder).`);
}

/** Tokens of a sample in the model, the visual ones counted. */
export function sampleLength(sample: Sample, imageTokens: ImageTokenCount): number {
  return sample.inputIds.length + (sample.image ? countImageTokens(imageTokens, sample.image) - 1 : 0);
}

export function countImageTokens(imageTokens: ImageTokenCount, image: ImageRef): number {
  return typeof imageTokens === "number" ? imageTokens : imageTokens(image);
}
