import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { DataError } from "../errors.js";
import { type DecodeOptions, decodeImage } from "./images.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-images-"));
afterAll(() => rmSync(folder, { recursive: true }));

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

  test("CMYK becomes RGB", async () => {
    const bytes = await noisy().toColourspace("cmyk").jpeg({ quality: 95 }).toBuffer();
    expect((await sharp(bytes).metadata()).space).toBe("cmyk");
    expect((await decodeImage(write("cmyk.jpg", bytes))).data).toHaveLength(noise.length);
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

  test("several frames", async () => {
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
