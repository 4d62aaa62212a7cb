import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { DataError } from "../errors.js";
import { type DecodeOptions, decodeImage } from "./images.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-images-"));
afterAll(() => rmSync(folder, { recursive: true }));

const fixtures = join(import.meta.dirname, "..", "..", "fixtures", "pictures");

function write(name: string, bytes: Uint8Array | string): string {
  const file = join(folder, name);
  writeFileSync(file, bytes);
  return file;
}

/** (height, width, 3): a red, a green and a blue column over a grey row. */
const colours = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 90, 90, 90, 90, 90, 90, 90, 90, 90);
const picture = () => sharp(colours, { raw: { width: 3, height: 2, channels: 3 } });
const noise = Uint8Array.from({ length: 40 * 40 * 3 }, (_, at) => (at * 7919) % 251);
const noisy = () => sharp(noise, { raw: { width: 40, height: 40, channels: 3 } });

test("pictures that fail beside others are told by their own words", async () => {
  const own = { "zstd.tif": /ZSTD/, "lab.tif": /labq/, "cmyk.jpg": /^read$/ };
  const told = Array.from({ length: 60 }, async (_, at) => {
    const [name, words] = Object.entries(own)[at % 3]!;
    const said = await decodeImage(join(fixtures, name)).then(
      () => "read",
      (error: Error) => error.message,
    );
    expect(said).toMatch(words);
  });
  await Promise.all(told);
});

describe("decoding", () => {
  test.each(["png", "webp", "tiff", "gif"] as const)("%s without loss", async (format) => {
    const bytes = await picture().toFormat(format, { lossless: true, compression: "none" }).toBuffer();
    const image = await decodeImage(write(`picture.${format}`, bytes));
    expect(image).toEqual({ width: 3, height: 2, data: colours });
  });

  test.each(["jpeg", "avif"] as const)("%s", async (format) => {
    const bytes = await noisy().toFormat(format, { quality: 95 }).toBuffer();
    const { width, height, data } = await decodeImage(write(`noise.${format}`, bytes));
    expect([width, height, data.length]).toEqual([40, 40, noise.length]);
  });

  test("EXIF orientation is applied, or ignored as LLaVA does", async () => {
    const bytes = await picture().withMetadata({ orientation: 6 }).png().toBuffer();
    const file = write("turned.png", bytes);
    const turned = await decodeImage(file);
    expect([turned.width, turned.height]).toEqual([2, 3]);
    expect([...turned.data.subarray(0, 6)]).toEqual([90, 90, 90, 255, 0, 0]); // clockwise: the left column is on top
    expect(await decodeImage(file, { orientation: "ignore" })).toEqual({ width: 3, height: 2, data: colours });
  });

  test("transparency is dropped; the colour under it stays", async () => {
    const pixels = Uint8Array.of(10, 20, 30, 0, 40, 50, 60, 128);
    const bytes = await sharp(pixels, { raw: { width: 2, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect([...(await decodeImage(write("clear.png", bytes))).data]).toEqual([10, 20, 30, 40, 50, 60]);
  });

  test("grey, grey with alpha and 16 bits become 8-bit RGB", async () => {
    const grey = await sharp(Uint8Array.of(7, 200), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    expect([...(await decodeImage(write("grey.png", grey))).data]).toEqual([7, 7, 7, 200, 200, 200]);
    const alpha = await sharp(Uint8Array.of(7, 0, 200, 255), { raw: { width: 2, height: 1, channels: 2 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    expect([...(await decodeImage(write("alpha.png", alpha))).data]).toEqual([7, 7, 7, 200, 200, 200]);
    const deep = Uint16Array.of(0, 0x8080, 0xffff, 0x1010, 0x2020, 0x3030);
    const sixteen = await sharp(deep, { raw: { width: 2, height: 1, channels: 3 } })
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    expect((await sharp(sixteen).metadata()).depth).toBe("ushort");
    expect([...(await decodeImage(write("deep.png", sixteen))).data]).toEqual([0, 0x80, 0xff, 0x10, 0x20, 0x30]);
  });

  test("CMYK becomes RGB as Pillow 13 has it: each ink takes its share of what black leaves", async () => {
    const { data } = await decodeImage(join(fixtures, "cmyk.tif"));
    expect([...data.subarray(0, 9)]).toEqual([235, 235, 198, 228, 235, 198, 220, 235, 198]);
    expect(createHash("sha256").update(data).digest("hex").slice(0, 16)).toBe("97a3084b2c8e1ce6");
    const jpeg = await decodeImage(join(fixtures, "cmyk.jpg"));
    const pillow = [0, 0, 0, 8, 0, 4, 16, 0, 8];
    for (const [at, value] of pillow.entries()) expect(Math.abs(jpeg.data[at]! - value)).toBeLessThanOrEqual(2);
  });

  test("16-bit grey is scaled to 8 bits, and what is transparent in a GIF is black", async () => {
    const grey = await decodeImage(join(fixtures, "grey16.png"));
    expect(new Set(grey.data).size).toBeGreaterThan(3); // Pillow's is white but for its first pixel
    const { data } = await decodeImage(join(fixtures, "transparent.gif"));
    expect([...data.subarray(0, 3)]).toEqual([24, 20, 20]);
    expect(data.findIndex((value, at) => at % 3 === 0 && value + data[at + 1]! + data[at + 2]! === 0)).toBeGreaterThan(
      0,
    );
  });

  test("AVIF whose major brand is the container's, and BigTIFF", async () => {
    for (const name of ["mif1.avif", "bigtiff.tif"]) {
      const { width, height, data } = await decodeImage(join(fixtures, name));
      expect([width, height]).toEqual([32, 24]);
      const pillow = [64, 60, 56, 72, 60, 60]; // at 600
      for (const [at, value] of pillow.entries()) expect(Math.abs(data[600 + at]! - value)).toBeLessThanOrEqual(5); // AVIF loses
    }
  });

  test("bytes as well as a file", async () => {
    const bytes = await picture().png().toBuffer();
    expect(await decodeImage(bytes)).toEqual({ width: 3, height: 2, data: colours });
    expect(await decodeImage(new Uint8Array(bytes), { name: "a.png" })).toMatchObject({ width: 3 });
    await expect(decodeImage(bytes, { name: "a.jpg" })).rejects.toThrow(/^a\.jpg: misnamed-image/);
    await expect(decodeImage(Uint8Array.of(1, 2))).rejects.toThrow(/^the picture: not-an-image/);
    await expect(decodeImage(bytes, { maxBytes: 9 })).rejects.toThrow(/too-many-bytes/);
  });

  test("stray bytes between the markers of a JPEG are no fault", async () => {
    const bytes = await noisy().jpeg().toBuffer();
    const stray = Buffer.concat([bytes.subarray(0, -2), Buffer.alloc(3), bytes.subarray(-2)]);
    expect((await decodeImage(write("stray.jpg", stray))).width).toBe(40);
  });
});

async function kindOf(file: string, options?: DecodeOptions): Promise<string | undefined> {
  try {
    await decodeImage(file, options);
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
    return (error as DataError).faults[0]?.kind;
  }
  return undefined;
}

describe("faults", () => {
  test.each(["jpeg", "png", "webp"] as const)("a truncated %s", async (format) => {
    const bytes = await noisy().toFormat(format).toBuffer();
    expect(await kindOf(write(`cut.${format}`, bytes.subarray(0, bytes.length / 2)))).toBe("corrupt-image");
    expect(await kindOf(write(`head.${format}`, bytes.subarray(0, 16)))).toBe("corrupt-image");
  });

  test("what is no picture, or of a kind that is not let in", async () => {
    expect(await kindOf(write("page.jpg", "<html>404</html>"))).toBe("not-an-image");
    expect(await kindOf(write("empty.png", ""))).toBe("not-an-image");
    expect(await kindOf(write("drawing.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>'))).toBe("not-an-image");
    expect(await kindOf(write("drawing.png", '<?xml version="1.0"?><svg/>'))).toBe("not-an-image");
    expect(await kindOf(write("paper.jpg", "%PDF-1.7"))).toBe("not-an-image");
    expect(await kindOf(join(folder, "none.png"))).toBe("missing-image");
    expect(await kindOf(folder)).toBe("missing-image");
  });

  test("another format than the name says", async () => {
    const file = write("really-a-gif.jpg", await picture().gif().toBuffer());
    expect(await kindOf(file)).toBe("misnamed-image");
    expect((await decodeImage(file, { misnamed: "accept" })).width).toBe(3);
    expect(await kindOf(write("no-ending", await picture().png().toBuffer()))).toBeUndefined();
  });

  test("too many pixels are refused by the header", async () => {
    const bomb = await noisy().jpeg().toBuffer();
    const frame = bomb.indexOf(Uint8Array.of(0xff, 0xc0)); // its header now says 60,000 x 60,000
    bomb.writeUInt16BE(60_000, frame + 5);
    bomb.writeUInt16BE(60_000, frame + 7);
    expect(await kindOf(write("bomb.jpg", bomb))).toBe("too-many-pixels");
    const honest = write("noise.png", await noisy().png().toBuffer());
    expect(await kindOf(honest, { maxPixels: 1599 })).toBe("too-many-pixels");
    expect(await kindOf(honest, { maxPixels: 1600 })).toBeUndefined();
    expect(await kindOf(honest, { maxBytes: 100 })).toBe("too-many-bytes");
  });

  test("a side that is too long is refused by the header", async () => {
    const tall = await sharp({ create: { width: 1, height: 65_536, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    await expect(decodeImage(tall)).rejects.toThrow(/too-many-pixels: 1 x 65536: a side is over 65535 pixels/);
  });

  test("what is whole and of a kind that is not read is not called broken", async () => {
    for (const name of ["zstd.tif", "lab.tif"]) expect(await kindOf(join(fixtures, name))).toBe("unsupported-image");
    await expect(decodeImage(join(fixtures, "zstd.tif"))).rejects.toThrow(/ZSTD compression.*Save it as PNG/);
  });

  test("several frames", async () => {
    expect(await kindOf(join(fixtures, "sequence.avif"))).toBe("animated-image");
    const frames = sharp(
      new Uint8Array(3 * 4 * 3).map((_, at) => at * 7),
      {
        raw: { width: 3, height: 4, channels: 3, pageHeight: 2 },
      },
    );
    expect(await kindOf(write("moving.gif", await frames.clone().gif().toBuffer()))).toBe("animated-image");
    expect(await kindOf(write("moving.webp", await frames.clone().webp().toBuffer()))).toBe("animated-image");
    const still = await picture().png().toBuffer();
    const control = Buffer.concat([Buffer.from([0, 0, 0, 8]), Buffer.from("acTL"), Buffer.alloc(12)]);
    const header = 33; // signature and IHDR
    const moving = Buffer.concat([still.subarray(0, header), control, still.subarray(header)]);
    expect(await kindOf(write("moving.png", moving))).toBe("animated-image");
  });
});
