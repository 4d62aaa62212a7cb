import { open } from "node:fs/promises";
import { extname } from "node:path";
import sharp from "sharp";
import { DataError } from "../errors.js";
import { type FaultKind, faultError } from "./faults.js";

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
const formats = {
  jpeg: [".jpg", ".jpeg", ".jpe", ".jfif"],
  png: [".png"],
  gif: [".gif"],
  webp: [".webp"],
  tiff: [".tif", ".tiff"],
  avif: [".avif"],
} as const;
type Format = keyof typeof formats;
const knownEndings: ReadonlySet<string> = new Set(Object.values(formats).flat());

/**
 * Decodes a picture of a known format and bounded size to 8-bit sRGB. As Pillow's `convert("RGB")`, transparency is
 * dropped (the colours under it stay), grey is repeated and an embedded RGB profile is ignored; 16 bits and CMYK are converted.
 * @throws DataError missing-image, not-an-image, misnamed-image, animated-image, too-many-pixels, too-many-bytes or
 * corrupt-image
 */
export async function decodeImage(file: string, options: DecodeOptions = {}): Promise<RgbImage> {
  return decodeBytes(await readImageFile(file, options), file, options);
}

/** The bytes of a picture's file, and no more than may be. @throws DataError missing-image or too-many-bytes */
export async function readImageFile(
  file: string,
  { maxBytes = 256 * 2 ** 20 }: Pick<DecodeOptions, "maxBytes"> = {},
): Promise<Uint8Array> {
  const refuse = refusal(file);
  const handle = await open(file).catch(() => {
    throw refuse("missing-image", "it cannot be opened. Check the path and its permissions.");
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw refuse("missing-image", "it is not a file.");
    if (stat.size > maxBytes) throw refuse("too-many-bytes", `${stat.size} bytes are over ${maxBytes}.`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function refusal(file: string): (kind: FaultKind, message: string) => DataError {
  return (kind, message) => faultError({ file, index: -1, field: "", kind, message });
}

/**
 * `decodeImage` of bytes that were read before.
 * @param file their name: its ending is held against the content, and faults name it
 */
export async function decodeBytes(content: Uint8Array, file: string, options: DecodeOptions = {}): Promise<RgbImage> {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength); // the same memory
  const { maxPixels = 50_000_000, misnamed = "refuse", orientation = "apply" } = options;
  const refuse = refusal(file);
  const format = sniff(bytes);
  if (format === undefined) {
    const what =
      bytes.length === 0 ? "it is an empty file" : `its content is none of ${Object.keys(formats).join(", ")}`;
    throw refuse("not-an-image", `${what}.`);
  }
  const ending = extname(file).toLowerCase();
  if (misnamed === "refuse" && knownEndings.has(ending) && !(formats[format] as readonly string[]).includes(ending)) {
    throw refuse("misnamed-image", `its content is ${format}. Rename it (or set misnamed: "accept").`);
  }
  try {
    const { width, height, pages, space } = await sharp(bytes, { limitInputPixels: false }).metadata();
    if (width * height > maxPixels) {
      throw refuse(
        "too-many-pixels",
        `${width} x ${height} pixels are over ${maxPixels}. Shrink it (or raise maxPixels).`,
      );
    }
    if ((pages ?? 1) > 1 || isAnimatedPng(bytes)) {
      throw refuse("animated-image", "it has several frames or pages. Keep one of them.");
    }
    const input = sharp(bytes, {
      limitInputPixels: maxPixels,
      failOn: "error", // a truncated file fails, stray bytes between markers do not: as Pillow
      ignoreIcc: space !== "cmyk",
    });
    const turned = orientation === "apply" ? input.autoOrient() : input;
    const pixels = turned.removeAlpha().toColourspace("srgb").timeout({ seconds: DECODE_SECONDS });
    const { data, info } = await pixels.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: threeChannels(data, info.channels) };
  } catch (error) {
    if (error instanceof DataError) throw error;
    const reason = (error as Error).message.trim().replaceAll(/\s+/g, " ");
    throw refuse("corrupt-image", `it cannot be decoded: ${reason}. Fetch it again.`);
  }
}

/** The format by content. Whatever else the decoder could read (SVG, PDF, …) is not let through. */
function sniff(bytes: Buffer): Format | undefined {
  const text = (start: number, end: number) => bytes.toString("latin1", start, end);
  if (text(0, 3) === "\xff\xd8\xff") return "jpeg";
  if (text(0, 8) === "\x89PNG\r\n\x1a\n") return "png";
  if (text(0, 6) === "GIF87a" || text(0, 6) === "GIF89a") return "gif";
  if (text(0, 4) === "RIFF" && text(8, 12) === "WEBP") return "webp";
  if (text(0, 4) === "II*\0" || text(0, 4) === "MM\0*") return "tiff";
  if (text(4, 12) === "ftypavif" || text(4, 12) === "ftypavis") return "avif";
  return undefined;
}

/** An animated PNG announces its frames before the first pixels; the decoder sees only the first frame. */
function isAnimatedPng(bytes: Buffer): boolean {
  const frames = bytes.indexOf("acTL");
  return sniff(bytes) === "png" && frames >= 0 && frames < bytes.indexOf("IDAT");
}

function threeChannels(data: Buffer, channels: number): Uint8Array {
  const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (channels === 3) return pixels;
  return Uint8Array.from({ length: (pixels.length / channels) * 3 }, (_, at) => pixels[Math.floor(at / 3) * channels]!);
}
