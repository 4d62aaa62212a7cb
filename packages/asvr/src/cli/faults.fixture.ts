import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";

/** A user's pictures and records, good ones and one for each thing that can be wrong. */
export interface PlantedData {
  imagesFolder: string;
  /** Of the array, as bytes: some of them are no text. */
  file: string;
  /** What is wrong, by place in the array. */
  faults: { index: number; kind: string }[];
  /** Places of the good records. */
  good: number[];
}

const solid = (width: number, height: number, background: string) =>
  sharp({ create: { width, height, channels: 3, background } });

const noisy = (width: number, height: number) =>
  sharp(
    Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7919) % 251),
    {
      raw: { width, height, channels: 3 },
    },
  );

const half = (bytes: Buffer) => bytes.subarray(0, bytes.length / 2);

/** Pictures that are odd but fine: every one must be read. */
const fine: Record<string, () => Promise<Buffer>> = {
  "wide.jpg": () => solid(300, 20, "#c33").jpeg().toBuffer(),
  "sub folder/tall.png": () => solid(9, 120, "#3c3").png().toBuffer(),
  "deep.png": () => solid(20, 30, "#33c").toColourspace("rgb16").png().toBuffer(), // 16 bits a channel
  "print.jpg": () => solid(40, 30, "#cc3").toColourspace("cmyk").jpeg().toBuffer(),
  "grey.png": () => solid(30, 30, "#888").greyscale().png().toBuffer(),
  "clear.webp": () => solid(30, 30, "#3cc").ensureAlpha(0.5).webp().toBuffer(),
  "turned.jpg": () => noisy(40, 20).jpeg().withMetadata({ orientation: 6 }).toBuffer(),
  "palette.gif": () => solid(16, 16, "#c3c").gif().toBuffer(),
};

async function bomb(): Promise<Buffer> {
  const bytes = await noisy(40, 40).jpeg().toBuffer();
  const frame = bytes.indexOf(Uint8Array.of(0xff, 0xc0)); // its header now says 10,000 x 10,000
  bytes.writeUInt16BE(10_000, frame + 5);
  bytes.writeUInt16BE(10_000, frame + 7);
  return bytes;
}

function moving(): Promise<Buffer> {
  const pixels = Uint8Array.from({ length: 3 * 8 * 3 }, (_, i) => i * 3);
  return sharp(pixels, { raw: { width: 3, height: 8, channels: 3, pageHeight: 4 } })
    .gif()
    .toBuffer();
}

/** Pictures that cannot be used, with what is wrong. */
const broken: Record<string, [kind: string, make: () => Promise<Buffer | string>]> = {
  "cut.jpg": ["corrupt-image", async () => half(await noisy(60, 60).jpeg().toBuffer())],
  "cut.png": ["corrupt-image", async () => half(await noisy(60, 60).png().toBuffer())],
  "head.webp": ["corrupt-image", async () => (await solid(9, 9, "#111").webp().toBuffer()).subarray(0, 14)],
  "page.jpg": ["not-an-image", async () => "<html>404 Not Found</html>"],
  "empty.png": ["not-an-image", async () => ""],
  "drawing.png": ["not-an-image", async () => '<svg xmlns="http://www.w3.org/2000/svg"/>'],
  "really-a-png.jpg": ["misnamed-image", () => solid(9, 9, "#222").png().toBuffer()],
  "bomb.jpg": ["too-many-pixels", bomb],
  "moving.gif": ["animated-image", moving],
};

const turns = (question: string, answer: string) => [
  { from: "human", value: question },
  { from: "gpt", value: answer },
];

/** Writes `records.json` and `images/` into a folder. */
export async function plantFaults(folder: string): Promise<PlantedData> {
  const imagesFolder = join(folder, "images");
  mkdirSync(join(imagesFolder, "sub folder"), { recursive: true });
  writeFileSync(join(folder, "secret.png"), await solid(9, 9, "#999").png().toBuffer());
  symlinkSync(join(folder, "secret.png"), join(imagesFolder, "link.png"));
  symlinkSync(folder, join(imagesFolder, "up"));
  for (const [name, make] of Object.entries(fine)) writeFileSync(join(imagesFolder, name), await make());
  for (const [name, [, make]] of Object.entries(broken)) writeFileSync(join(imagesFolder, name), await make());

  const records: (string | Buffer)[] = [];
  const planted: PlantedData = { imagesFolder, file: join(folder, "records.json"), faults: [], good: [] };
  const add = (record: object | Buffer, kind?: string) => {
    if (kind) planted.faults.push({ index: records.length, kind });
    else planted.good.push(records.length);
    records.push(Buffer.isBuffer(record) ? record : JSON.stringify(record));
  };
  const shown = (changes: object = {}) => ({
    id: `r${records.length}`,
    image: "wide.jpg",
    conversations: turns("<image>\nWhat colour?", "red"),
    ...changes,
  });

  for (const image of Object.keys(fine)) add(shown({ image }));
  add({ id: "text only", conversations: turns("How many legs has a spider?", "Eight, as a rule.") });
  add(shown({ id: 17, conversations: [...turns("<image>\nWhat colour?", "red"), ...turns("And the shape?", "long")] }));
  for (const [image, [kind]] of Object.entries(broken)) add(shown({ image }), kind);
  add(shown({ image: "nowhere.png" }), "missing-image");
  add(shown({ image: "sub folder" }), "missing-image");
  add(shown({ image: join(imagesFolder, "wide.jpg") }), "absolute-path");
  add(shown({ image: "C:\\pictures\\a.png" }), "absolute-path");
  add(shown({ image: "../secret.png" }), "path-escape");
  add(shown({ image: "sub folder/../../secret.png" }), "path-escape");
  add(shown({ image: "link.png" }), "symlink-escape");
  add(shown({ image: "up/secret.png" }), "symlink-escape");
  add(shown({ conversations: [{ from: "user", value: "<image>\nWhat?" }, turns("", "red")[1]] }), "unknown-role");
  add(shown({ conversations: [...turns("<image>\nWhat?", "red"), { from: "system", value: "" }] }), "unknown-role");
  add(shown({ conversations: turns("<image>\nWhat?", "red").reverse() }), "turn-order");
  add(shown({ conversations: [{ from: "human", value: "<image>\nWhat?" }] }), "turn-order");
  add(shown({ conversations: turns("What colour?", "red") }), "image-token-missing");
  add(shown({ conversations: turns("<image>\n<image>\nWhat?", "red") }), "image-token-doubled");
  add(shown({ conversations: turns("<image>\nWhat?", "<image>") }), "image-token-in-answer");
  add(shown({ image: undefined }), "image-token-without-image");
  add(shown({ conversations: turns("<image>\nWhat?", " \n") }), "empty-answer");
  add(shown({ id: "r0" }), "duplicate-id");
  add(shown({ conversations: turns("<image>\nTell me.", "word ".repeat(4000)) }), "too-long");
  add(shown({ conversations: [] }), "wrong-shape");
  add(shown({ image: ["wide.jpg", "grey.png"] }), "wrong-shape");
  add(Buffer.from('{"id": "x", "conversations": [}'), "invalid-json");
  add(Buffer.concat([Buffer.from('{"id": "'), Buffer.of(0xff, 0xfe), Buffer.from('"}')]), "invalid-utf8");
  add(shown({ image: "grey.png" }));

  const commas = records.flatMap((record, index) => [Buffer.from(index > 0 ? ",\n" : "[\n"), Buffer.from(record)]);
  writeFileSync(planted.file, Buffer.concat([...commas, Buffer.from("\n]\n")]));
  return planted;
}
