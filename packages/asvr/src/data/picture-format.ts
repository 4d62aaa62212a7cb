/** The formats that are let in, and the endings of their files. */
export const endings = {
  jpeg: [".jpg", ".jpeg", ".jpe", ".jfif"],
  png: [".png"],
  gif: [".gif"],
  webp: [".webp"],
  tiff: [".tif", ".tiff"],
  avif: [".avif"],
} as const;
export type Format = keyof typeof endings;
export const knownEndings: ReadonlySet<string> = new Set(Object.values(endings).flat());

const tiffMarks: ReadonlySet<string> = new Set(["II*\0", "MM\0*", "II+\0", "MM\0+"]); // + is BigTIFF

/** The format by content. Whatever else the decoder could read (SVG, PDF, …) is not let through. */
export function formatOf(bytes: Buffer): Format | undefined {
  const text = (start: number, end: number) => bytes.toString("latin1", start, end);
  if (text(0, 3) === "\xff\xd8\xff") return "jpeg";
  if (text(0, 8) === "\x89PNG\r\n\x1a\n") return "png";
  if (text(0, 6) === "GIF87a" || text(0, 6) === "GIF89a") return "gif";
  if (text(0, 4) === "RIFF" && text(8, 12) === "WEBP") return "webp";
  if (tiffMarks.has(text(0, 4))) return "tiff";
  if (brandsOf(bytes).some((brand) => brand === "avif" || brand === "avis")) return "avif";
  return undefined;
}

/**
 * Whether a file announces several frames that the decoder would not tell of: of an animated PNG it sees the first
 * alone, and an AVIF sequence it does not open.
 */
export function hasFrames(bytes: Buffer, format: Format): boolean {
  if (format === "avif") return brandsOf(bytes).includes("avis");
  const frames = bytes.indexOf("acTL");
  return format === "png" && frames >= 0 && frames < bytes.indexOf("IDAT");
}

/** What an ISO media file says it can be read as: its major brand, which may name the container alone, and others. */
function brandsOf(bytes: Buffer): string[] {
  if (bytes.length < 16 || bytes.toString("latin1", 4, 8) !== "ftyp") return [];
  const end = Math.min(bytes.readUInt32BE(0), bytes.length, 1024);
  const brands = [bytes.toString("latin1", 8, 12)];
  for (let at = 16; at + 4 <= end; at += 4) brands.push(bytes.toString("latin1", at, at + 4));
  return brands;
}
