import type { Random } from "../random.js";
import { PHOTOGRAPH_SCALE, PLATE_SIZES } from "./assets.js";
import type { Split } from "./splits.js";
import type { Concept, Things } from "./things.js";
import {
  BACKGROUNDS,
  type Background,
  CELL_SIZE,
  COLOR_NAMES,
  COLORS,
  type Color,
  IMAGE_SIZE,
  REGIONS,
  type Vendor,
} from "./world.js";

/** A rounded square in one cell: x, y and size in pixels of the picture, and its colour after noise. */
export interface Plate {
  readonly cell: number;
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly rgb: readonly [number, number, number];
}

export interface SceneObject {
  readonly concept: Concept;
  readonly vendor: Vendor;
  readonly color: Color;
  readonly plate: Plate;
}

export interface SceneDigit {
  readonly value: number;
  /** Index among the samples of this digit. */
  readonly sample: number;
  readonly plate: Plate;
}

/** A square crop in pixels of the region's box at PHOTOGRAPH_SCALE. */
export interface Crop {
  /** Index in REGIONS. */
  readonly region: number;
  readonly side: Split["side"];
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly brightness: number;
}

/** All that a picture shows, before any pixel: captions and questions are made from it, and so is the picture. */
export interface Scene {
  readonly objects: readonly SceneObject[];
  readonly digit: SceneDigit | undefined;
  readonly background: Background | undefined;
  readonly crop: Crop;
}

const DIGIT_SHARE = 0.7;
const NO_BACKGROUND_SHARE = 0.1;
const DIGIT_CARD = [36, 36, 40] as const;
/** A crop keeps at least this share of the shorter side of its box, or one pixel a pixel: less would show no scenery. */
const MIN_CROP_SHARE = 0.5;

/** One to three objects on plates of different colours, often a digit, on a piece of a photograph. */
export function sampleScene(split: Split, random: Random): Scene {
  const concepts = sampleConcepts(split.things, 1 + random.int(3), random);
  const cells = random.shuffle([0, 1, 2, 3]);
  const colors = random.shuffle(COLOR_NAMES);
  const objects = concepts.map((concept, i) => ({
    concept,
    vendor: random.pick(split.vendors.get(concept)!),
    color: colors[i]!,
    plate: samplePlate(cells[i]!, COLORS[colors[i]!], random),
  }));
  const digit = random.uniform() < DIGIT_SHARE ? sampleDigit(split, cells[3]!, random) : undefined;
  const background = random.uniform() < NO_BACKGROUND_SHARE ? undefined : random.pick(BACKGROUNDS);
  return { objects, digit, background, crop: sampleCrop(split, background, random) };
}

/**
 * Different concepts, common ones twice as likely. Half of the pairs are of one kind, and so are a fifth of the
 * threes, with a pair in another two fifths: counting a kind and telling its members apart must not be rare.
 */
function sampleConcepts(things: Things, count: number, random: Random): Concept[] {
  const draw = (from: readonly Concept[], taken: readonly Concept[]) => {
    const left = from.filter((concept) => !taken.includes(concept));
    return random.pick([...left, ...left.filter((concept) => things.common.includes(concept))]);
  };
  const concepts = [draw(things.concepts, [])];
  const share = random.uniform();
  const related = count === 3 ? (share < 0.2 ? 2 : share < 0.6 ? 1 : 0) : share < 0.5 ? 1 : 0;
  while (concepts.length < count) {
    const sameKind = concepts.length <= related;
    concepts.push(draw(sameKind ? things.kinds[things.kindOf(concepts[0]!)] : things.concepts, concepts));
  }
  return concepts;
}

function sampleDigit(split: Split, cell: number, random: Random): SceneDigit {
  const value = random.int(10);
  const { first, end } = split.digits(value);
  return { value, sample: first + random.int(end - first), plate: samplePlate(cell, DIGIT_CARD, random) };
}

function samplePlate(cell: number, color: readonly [number, number, number], random: Random): Plate {
  const size = random.pick(PLATE_SIZES);
  const slack = CELL_SIZE - size;
  const noisy = (level: number) => Math.min(255, Math.max(0, level + random.int(41) - 20));
  return {
    cell,
    x: (cell % 2) * CELL_SIZE + random.int(slack + 1),
    y: Math.floor(cell / 2) * CELL_SIZE + random.int(slack + 1),
    size,
    rgb: [noisy(color[0]), noisy(color[1]), noisy(color[2])],
  };
}

function sampleCrop(split: Split, background: Background | undefined, random: Random): Crop {
  const region = random.pick(REGIONS.flatMap(({ shows }, i) => (shows === background ? [i] : [])));
  const [, , boxWidth, boxHeight] = REGIONS[region]!.boxes[split.side];
  const width = Math.floor(boxWidth * PHOTOGRAPH_SCALE);
  const height = Math.floor(boxHeight * PHOTOGRAPH_SCALE);
  const largest = Math.min(width, height);
  const smallest = Math.max(IMAGE_SIZE, Math.ceil(largest * MIN_CROP_SHARE));
  const size = smallest + random.int(largest - smallest + 1);
  return {
    region,
    side: split.side,
    x: random.int(width - size + 1),
    y: random.int(height - size + 1),
    size,
    brightness: 0.7 + 0.4 * random.uniform(),
  };
}
