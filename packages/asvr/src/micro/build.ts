import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import sharp from "sharp";
import { ConfigError } from "../errors.js";
import { Random } from "../random.js";
import { type Assets, loadAssets } from "./assets.js";
import { MICRO_FORMAT, type MicroManifest, makeManifest } from "./manifest.js";
import { captionRecord, encoderRecords, testRecords, textRecords, tuningRecords } from "./records.js";
import { renderScene } from "./render.js";
import { type Scene, sampleScene } from "./scene.js";
import { DEFAULT_MICRO_SIZES, type MicroSizes } from "./sizes.js";
import { makeSplit, type SplitName } from "./splits.js";
import { THINGS, THINGS_NAMES, type Things, type ThingsName } from "./things.js";
import { buildTokenizer, buildTokenizerConfig } from "./tokenizer.js";
import { IMAGE_SIZE } from "./world.js";

export interface MicroWorldOptions {
  /** The folder to make. An earlier micro world there is replaced, anything else is left alone. */
  readonly out: string;
  readonly seed: number;
  /** The set of things that scenes are made of. @default "standard" */
  readonly things?: ThingsName;
  readonly sizes?: Partial<MicroSizes>;
  /** Questions of a training picture and of a text scene. @default 8 */
  readonly questionsPerImage?: number;
  readonly onProgress?: (progress: MicroProgress) => void;
}

export interface MicroProgress {
  readonly phase: "assets" | SplitName;
  readonly done: number;
  readonly total: number;
}

/** A scene has at least this many different questions: even one of a single object with nothing else to ask about. */
const MAX_QUESTIONS = 16;

/**
 * Makes the whole data set of the small experiment and writes it as ordinary files: PNG pictures, LLaVA-format JSON,
 * a tokenizer and a manifest. The same options give the same bytes. The folder appears only when it is complete.
 * @throws ConfigError for things that there are not, for a size that is no whole number, for questionsPerImage beyond
 * 1 to 16, and when `out` holds something else than a micro world
 */
export async function buildMicroWorld(options: MicroWorldOptions): Promise<MicroManifest> {
  const { seed, things = "standard", questionsPerImage = 8, onProgress = () => {} } = options;
  const sizes = { ...DEFAULT_MICRO_SIZES, ...options.sizes };
  for (const [name, size] of Object.entries(sizes)) requireWhole(`sizes.${name}`, size, 0, 1_000_000);
  requireWhole("questionsPerImage", questionsPerImage, 1, MAX_QUESTIONS);
  requireThings(things);
  requireWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER);

  const out = resolve(options.out);
  await requireReplaceable(out);
  const draft = `${out}.${process.pid}.partial`;
  await rm(draft, { recursive: true, force: true });
  try {
    const counts = { encoder: sizes.encoder, text: sizes.text, train: sizes.train };
    const scenes = { ...counts, "test-seen": sizes.test, "test-novel": sizes.novel };
    const manifest = await writeWorld(
      draft,
      { seed, things: THINGS[things], questionsPerImage, sizes: scenes },
      onProgress,
    );
    await rm(out, { recursive: true, force: true });
    await rename(draft, out);
    return manifest;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

interface WorldPlan {
  readonly seed: number;
  readonly things: Things;
  readonly questionsPerImage: number;
  readonly sizes: Record<SplitName, number>;
}

async function writeWorld(
  folder: string,
  plan: WorldPlan,
  onProgress: (progress: MicroProgress) => void,
): Promise<MicroManifest> {
  onProgress({ phase: "assets", done: 0, total: 1 });
  const assets = await loadAssets(plan.things);
  onProgress({ phase: "assets", done: 1, total: 1 });
  const writer = new SplitWriter(folder, plan, assets, onProgress);
  const { things, questionsPerImage } = plan;

  const encoder = await writer.pictures("encoder", encoderRecords);
  const train = await writer.pictures("train", (id, image, scene, random) => [
    {
      caption: captionRecord(id, image, scene, random.fork("caption")),
      questions: tuningRecords(id, image, scene, things, questionsPerImage, random.fork("questions")),
    },
  ]);
  const tuning = train.flatMap(({ questions }) => questions);
  const files: Record<string, readonly object[] | object> = {
    "encoder.json": encoder,
    "captions.json": train.map(({ caption }) => caption),
    "tuning.json": tuning,
    "test-seen.json": await writer.pictures("test-seen", (id, image, scene, random) =>
      testRecords(id, image, scene, things, false, random),
    ),
    "test-novel.json": await writer.pictures("test-novel", (id, image, scene, random) =>
      testRecords(id, image, scene, things, true, random),
    ),
    "text.json": writer.scenes("text", (id, scene, random) =>
      textRecords(id, scene, things, questionsPerImage, random),
    ),
    "tokenizer.json": buildTokenizer(things),
    "tokenizer_config.json": buildTokenizerConfig(),
  };
  return writeFiles(folder, files, (sha256) => makeManifest(plan, tuning, sha256));
}

/** Samples, draws and writes the scenes of each split. Scene i depends on (seed, split, i) alone. */
class SplitWriter {
  constructor(
    private readonly folder: string,
    private readonly plan: WorldPlan,
    private readonly assets: Assets,
    private readonly onProgress: (progress: MicroProgress) => void,
  ) {}

  /** The records of all scenes in order, without pictures. */
  scenes<T>(name: SplitName, recordsOf: (id: string, scene: Scene, random: Random) => T[]): T[] {
    const total = this.plan.sizes[name];
    const sample = this.sampler(name);
    const records = Array.from({ length: total }, (_, i) => {
      const { id, scene, random } = sample(i);
      return recordsOf(id, scene, random);
    });
    this.onProgress({ phase: name, done: total, total });
    return records.flat();
  }

  /** Writes the records of a split, and a PNG for each scene. */
  async pictures<T>(
    name: SplitName,
    recordsOf: (id: string, image: string, scene: Scene, random: Random) => T[],
  ): Promise<T[]> {
    const total = this.plan.sizes[name];
    const sample = this.sampler(name);
    const records = new Array<T[]>(total);
    await mkdir(join(this.folder, "images", name), { recursive: true });
    let done = 0;
    await forEachIndex(total, async (i) => {
      const { id, scene, random } = sample(i);
      const image = `images/${name}/${String(i).padStart(6, "0")}.png`;
      await writePicture(join(this.folder, image), renderScene(scene, this.assets));
      records[i] = recordsOf(id, image, scene, random);
      done++;
      if (done % 200 === 0 || done === total) this.onProgress({ phase: name, done, total });
    });
    return records.flat();
  }

  private sampler(name: SplitName): (i: number) => { id: string; scene: Scene; random: Random } {
    const { seed, things } = this.plan;
    const digitCounts = this.assets.digits.map((samples) => samples.length);
    const split = makeSplit(name, seed, digitCounts, things);
    const root = new Random(seed).fork(name);
    return (i) => {
      const random = root.fork(i);
      const id = `${name}-${String(i).padStart(6, "0")}`;
      return { id, scene: sampleScene(split, random.fork("scene")), random: random.fork("language") };
    };
  }
}

/** Runs a task for 0 to count - 1 with a few at a time: sharp encodes on its own threads meanwhile. */
async function forEachIndex(count: number, task: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

async function writePicture(path: string, pixels: Uint8Array): Promise<void> {
  const picture = sharp(pixels, { raw: { width: IMAGE_SIZE, height: IMAGE_SIZE, channels: 3 } });
  await writeFile(path, await picture.png({ compressionLevel: 1 }).toBuffer());
}

async function writeFiles(
  folder: string,
  files: Record<string, readonly object[] | object>,
  manifestOf: (sha256: Record<string, string>) => MicroManifest,
): Promise<MicroManifest> {
  const sha256: Record<string, string> = {};
  for (const [name, content] of Object.entries(files)) {
    const text = Array.isArray(content) ? lines(content) : `${JSON.stringify(content, null, 1)}\n`;
    sha256[name] = createHash("sha256").update(text).digest("hex");
    await writeFile(join(folder, name), text);
  }
  const manifest = manifestOf(sha256);
  await writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

/** A JSON array with one record a line, so that a person or `grep` can read it. */
function lines(records: readonly object[]): string {
  return `[\n${records.map((record) => JSON.stringify(record)).join(",\n")}\n]\n`;
}

/** An absent or empty folder may be filled and a micro world replaced; nothing else is ever deleted. */
async function requireReplaceable(out: string): Promise<void> {
  await mkdir(dirname(out), { recursive: true });
  const entries = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  if (entries.length === 0) return;
  const manifest = await readFile(join(out, "manifest.json"), "utf8").catch(() => "");
  if (!manifest.includes(MICRO_FORMAT.split("/")[0]!)) {
    throw new ConfigError(
      `buildMicroWorld: ${out} is not empty and holds no micro world. Name another folder, or empty it.`,
    );
  }
}

function requireThings(name: string): void {
  if (!Object.hasOwn(THINGS, name)) {
    throw new ConfigError(`buildMicroWorld: things is "${name}"; it must be ${THINGS_NAMES.join(" or ")}.`);
  }
}

function requireWhole(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new ConfigError(`buildMicroWorld: ${name} is ${value}; it must be a whole number from ${min} to ${max}.`);
  }
}
