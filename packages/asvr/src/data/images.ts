import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { extname } from "node:path";
import { GIT_LFS_POINTER, isGitLfsPointer } from "@asvr/torch/files";
import sharp from "sharp";
import { DataError, ResourceError } from "../errors.js";
import type { FaultKind } from "../fault.js";
import { DecodingTurns } from "./decoding-turns.js";
import { faultError } from "./faults.js";
import { endings, formatOf, hasFrames, knownEndings } from "./picture-format.js";

/** A picture in memory: `data` is (height, width, 3), red, green, blue, 0 to 255. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export interface DecodeOptions {
  /** Asked of the header, before a pixel is decoded. */
  maxPixels?: number;
  maxBytes?: number;
  /** A GIF named `.jpg` and the like: common in collected data, and harmless once known. */
  misnamed?: "refuse" | "accept";
  /** Turn the picture as its EXIF orientation says. LLaVA's own loader ignores it. */
  orientation?: "apply" | "ignore";
}

const DECODE_SECONDS = 30;
const MAX_BYTES = 256 * 2 ** 20;
/** A side of a picture, as JPEG has it too: what is made of a line must be bounded, not the area alone. */
const MAX_SIDE = 65_535;

/**
 * Decodes a picture of a known format and bounded size to 8-bit sRGB. As Pillow's `convert("RGB")`, transparency is
 * dropped (the colours under it stay, but for GIF, where it is black as what its frame leaves out), grey is repeated, CMYK is converted without a
 * profile, and an embedded profile is ignored. 16 bits are scaled to 8, where Pillow cuts grey off at 255.
 * @param source the picture's file, or its bytes
 * @throws DataError missing-image, not-an-image, misnamed-image, animated-image, too-many-pixels, too-many-bytes,
 * unsupported-image or corrupt-image
 * @throws ResourceError when it takes more memory or time than there is, which is no fault of the picture
 */
export async function decodeImage(
  source: string | Uint8Array,
  options: DecodeOptions & {
    /** What bytes are called: the ending is held against the content, and faults name it. */
    name?: string;
  } = {},
): Promise<RgbImage> {
  if (typeof source === "string") return decodeBytes(await readImageFile(source, options), source, options);
  const { name = "the picture", maxBytes = MAX_BYTES } = options;
  if (source.length > maxBytes) throw tooManyBytes(name, source.length, maxBytes);
  return decodeBytes(source, name, options);
}

/**
 * The bytes of a picture's file, and no more than may be.
 * @throws DataError missing-image or too-many-bytes
 * @throws ResourceError where the machine cannot open or read it now
 */
export async function readImageFile(
  file: string,
  { maxBytes = MAX_BYTES }: Pick<DecodeOptions, "maxBytes"> = {},
): Promise<Uint8Array> {
  const refuse = refusal(file);
  // A named pipe would hold its opener until somebody writes to it.
  const waitFree = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
  const handle = await open(file, waitFree).catch((error: NodeJS.ErrnoException) => {
    if (passing.has(error.code ?? "")) throw new ResourceError(`${file}: it cannot be opened now: ${error.message}`);
    throw refuse("missing-image", "it cannot be opened. Check the path and its permissions.");
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw refuse("missing-image", "it is not a file.");
    if (stat.size > maxBytes) throw tooManyBytes(file, stat.size, maxBytes);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function refusal(file: string): (kind: FaultKind, message: string) => DataError {
  return (kind, message) => faultError({ file, index: -1, field: "", kind, message });
}

function tooManyBytes(file: string, bytes: number, most: number): DataError {
  return refusal(file)("too-many-bytes", `${bytes} bytes are over ${most}.`);
}

async function decodeBytes(content: Uint8Array, file: string, options: DecodeOptions): Promise<RgbImage> {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength); // the same memory
  const { misnamed = "refuse" } = options;
  const refuse = refusal(file);
  if (isGitLfsPointer(bytes)) throw refuse("git-lfs-pointer", `${GIT_LFS_POINTER}.`);
  const format = formatOf(bytes);
  if (format === undefined) {
    const what =
      bytes.length === 0 ? "it is an empty file" : `its content is none of ${Object.keys(endings).join(", ")}`;
    throw refuse("not-an-image", `${what}.`);
  }
  const ending = extname(file).toLowerCase();
  if (misnamed === "refuse" && knownEndings.has(ending) && !(endings[format] as readonly string[]).includes(ending)) {
    throw refuse("misnamed-image", `its content is ${format}. Rename it (or set misnamed: "accept").`);
  }
  if (hasFrames(bytes, format)) throw refuse("animated-image", SEVERAL_FRAMES);
  const decode = () => pixelsOf(bytes, file, options);
  try {
    return await turns.together(decode);
  } catch (error) {
    if (error instanceof DataError) throw error;
    if (/timeout/i.test((error as Error).message)) throw asFault(error as Error, file);
  }
  try {
    return await turns.alone(decode);
  } catch (error) {
    throw error instanceof DataError ? error : asFault(error as Error, file);
  }
}

const SEVERAL_FRAMES = "it has several frames or pages. Keep one of them.";
const turns = new DecodingTurns();

/** What the decoder makes of a picture. @throws DataError for a size or number of frames, else the decoder's own error */
async function pixelsOf(
  bytes: Buffer,
  file: string,
  { maxPixels = 50_000_000, orientation = "apply" }: DecodeOptions,
): Promise<RgbImage> {
  const refuse = refusal(file);
  const { width, height, pages, space, depth } = await sharp(bytes, { limitInputPixels: false }).metadata();
  if (width * height > maxPixels) {
    throw refuse(
      "too-many-pixels",
      `${width} x ${height} pixels are over ${maxPixels}. Shrink it (or raise maxPixels).`,
    );
  }
  if (Math.max(width, height) > MAX_SIDE) {
    throw refuse("too-many-pixels", `${width} x ${height}: a side is over ${MAX_SIDE} pixels. Cut it into pieces.`);
  }
  if ((pages ?? 1) > 1) throw refuse("animated-image", SEVERAL_FRAMES);
  const input = sharp(bytes, {
    limitInputPixels: maxPixels,
    failOn: "error", // a truncated file fails, stray bytes between markers do not: as Pillow
    ignoreIcc: true,
  });
  const turned = orientation === "apply" ? input.autoOrient() : input;
  const isInk = space === "cmyk" && depth === "uchar";
  const plain = turned.removeAlpha().timeout({ seconds: DECODE_SECONDS });
  const pixels = isInk ? plain.pipelineColourspace("cmyk").toColourspace("cmyk") : plain.toColourspace("srgb");
  const { data: raw, info } = await pixels.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  const data = new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
  const rgb = isInk ? rgbOfInk(data) : threeChannels(data, info.channels);
  return { width: info.width, height: info.height, data: rgb };
}

/** Errors of opening a file that say nothing of the file. */
const passing: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM", "EIO", "EAGAIN"]);

/** What the decoder's words mean: a fault of the picture, or a lack of the machine, which must not pass for one. */
function asFault(error: Error, file: string): Error {
  const lines = error.message.split("\n").map((line) => line.replace(/^Input buffer has corrupt header:/, "").trim());
  const reason = [...new Set(lines)].filter(Boolean).slice(-3).join("; ");
  if (/out of memory|cannot allocate|allocation (failed|error)|insufficient memory|bad_alloc/i.test(error.message)) {
    return new ResourceError(
      `${file}: there is not enough memory to decode it: ${reason}. Free some, and begin again.`,
    );
  }
  if (/timeout/i.test(error.message)) {
    return new ResourceError(
      `${file}: decoding it takes longer than ${DECODE_SECONDS} s. Begin again on a machine with less to do, or leave it out.`,
    );
  }
  // "Unsupported image format" is what the decoder calls a header that it does not know.
  if (/not configured|not supported|unsupported (?!image format)|labq/i.test(error.message)) {
    return refusal(file)("unsupported-image", `it is of a kind that is not read here: ${reason}. Save it as PNG.`);
  }
  return refusal(file)("corrupt-image", `it cannot be decoded: ${reason}. Fetch it again.`);
}

/** Cyan, magenta, yellow and black as Pillow converts them: each ink takes its share of what black leaves. */
function rgbOfInk(data: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const light = 255 - data[from + 3]!;
    for (let ink = from; ink < from + 3; ink++) {
      const product = data[ink]! * light + 128;
      rgb[to++] = light - (((product >> 8) + product) >> 8);
    }
  }
  return rgb;
}

function threeChannels(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return data;
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let from = 0, to = 0; from < data.length; from += channels, to += 3) rgb.fill(data[from]!, to, to + 3);
  return rgb;
}
