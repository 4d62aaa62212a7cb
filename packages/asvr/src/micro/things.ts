/**
 * The things that can stand in a scene, in two sets. `rich` holds those of `standard` and 71 more: more meanings to
 * tell apart, while kinds, questions and the rest of a picture stay the same.
 *
 * The words are those of Unicode CLDR, which emojibase-data carries: a concept is named by its label, a kind by a
 * word of its subgroup ("food-fruit" -> fruit). `things.test.ts` checks both against the package.
 */

/** The kinds, each with the CLDR subgroups that it gathers. */
export const SUBGROUPS = {
  animal: ["animal-mammal", "animal-bird", "animal-amphibian", "animal-reptile", "animal-marine", "animal-bug"],
  fruit: ["food-fruit"],
  vegetable: ["food-vegetable"],
  transport: ["transport-ground", "transport-water", "transport-air"],
  clothing: ["clothing"],
  instrument: ["musical-instrument"],
} as const;
export type KindName = keyof typeof SUBGROUPS;
export const KIND_NAMES = Object.keys(SUBGROUPS) as KindName[];

const standard = {
  animal: ["dog", "owl", "elephant", "penguin", "turtle", "fox", "octopus", "butterfly"],
  fruit: ["banana", "strawberry", "grapes", "lemon", "watermelon", "pineapple", "peach", "cherries"],
  vegetable: ["carrot", "broccoli", "avocado", "eggplant", "potato", "cucumber", "garlic", "onion"],
  transport: ["bus", "bicycle", "taxi", "tractor", "sailboat", "helicopter", "rocket", "ambulance"],
  clothing: ["jeans", "crown", "dress", "gloves", "socks", "necktie", "sunglasses", "backpack"],
  instrument: ["guitar", "drum", "violin", "trumpet", "saxophone", "accordion", "flute", "maracas"],
} as const satisfies Record<KindName, readonly string[]>;

/**
 * Chosen by eye, from the drawings at 21 pixels, among the CLDR labels of one word that all vendors draw. Left out are
 * - parts (wing, wheel), places (station), and what its kind's word does not fit (anchor, satellite, lipstick);
 * - words that are true of others here as well (bird, fish);
 * - what the photographs behind the plates show (cat, airplane, ship, canoe): "any cat ?" would have two answers;
 * - what a drawing of that size hardly tells from another: rat (mouse), boar (pig), ox (cow), llama (camel), leopard
 *   (tiger), moose (deer), whale (dolphin), goose (swan), lobster (crab), squid (octopus), mango (peach), tram (train),
 *   trolleybus (bus), glasses (sunglasses), and the like.
 *
 * The more familiar ones come first, for the first quarter of each kind is common (see Things).
 */
// biome-ignore format: a list
const rich = {
  animal: [
    ...standard.animal,
    "horse", "cow", "pig", "rabbit", "mouse", "bear", "panda", "lion", "tiger", "monkey", "gorilla", "zebra", "giraffe",
    "deer", "camel", "kangaroo", "ram", "chipmunk", "hedgehog", "sloth", "bat",
    "chicken", "duck", "swan", "parrot", "peacock", "flamingo",
    "frog", "snake", "crocodile",
    "dolphin", "shark", "jellyfish", "crab",
    "snail", "ant", "honeybee", "spider", "scorpion",
  ],
  fruit: [
    ...standard.fruit,
    "tomato", "pear", "tangerine", "coconut", "blueberries", "lime", "melon", "olive",
  ],
  vegetable: [...standard.vegetable, "beans", "peanuts", "chestnut"],
  transport: [
    ...standard.transport,
    "automobile", "train", "motorcycle", "locomotive", "metro", "monorail", "skateboard", "parachute",
  ],
  clothing: [
    ...standard.clothing,
    "t-shirt", "coat", "shorts", "scarf", "handbag", "ring", "goggles", "kimono", "sari", "briefs", "bikini", "purse",
  ],
  instrument: [...standard.instrument, "banjo"],
} as const satisfies Record<KindName, readonly string[]>;

/** A label of either set. */
export type Concept = (typeof rich)[KindName][number];

export const THINGS_NAMES = ["standard", "rich"] as const;
export type ThingsName = (typeof THINGS_NAMES)[number];

/** A set of things: all that scenes, questions and words of a world know of what there is. */
export interface Things {
  readonly name: ThingsName;
  readonly kinds: Readonly<Record<KindName, readonly Concept[]>>;
  /** The things of all kinds. */
  readonly concepts: readonly Concept[];
  /**
   * The first quarter of each kind, which turns up twice as often: the popular objects in the sense of POPE, the ones
   * that a model that guesses would name.
   */
  readonly common: readonly Concept[];
  readonly kindOf: (concept: Concept) => KindName;
}

export const THINGS: Readonly<Record<ThingsName, Things>> = {
  standard: makeThings("standard", standard),
  rich: makeThings("rich", rich),
};

function makeThings(name: ThingsName, kinds: Things["kinds"]): Things {
  const kindByConcept = new Map(KIND_NAMES.flatMap((kind) => kinds[kind].map((concept) => [concept, kind] as const)));
  return {
    name,
    kinds,
    concepts: KIND_NAMES.flatMap((kind) => kinds[kind]),
    common: KIND_NAMES.flatMap((kind) => kinds[kind].slice(0, Math.round(kinds[kind].length / 4))),
    kindOf: (concept) => kindByConcept.get(concept)!,
  };
}
