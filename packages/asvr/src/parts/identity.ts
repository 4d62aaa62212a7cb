import { createHash } from "node:crypto";
import { baselines } from "../recipes/baselines.js";
import { differences } from "../recipes/differences.js";
import type { Recipe } from "../recipes/recipe.js";

/**
 * `reads` says what the builder of each kind of part reads of a recipe. The builder is handed that value and nothing
 * else of the recipe, so that the part's identity, a hash of the value, can't leave out what the part was made from.
 */
export const reads = {
  encoder: ({ scale, encoder: { selectLayer: _, ...encoder } }: Read) => ({ scale, encoder }),
  languageModel: ({ language }: Read) => ({ language }),
  tokenizers: ({ tokenizers, ...rest }: Read) => ({ ...reads.encoder({ tokenizers, ...rest }), tokenizers }),
  codes: ({ scale, encoder, tokenizers }: Read) => ({ scale, encoder, tokenizers }),
};

type Read = Pick<Recipe, "scale" | "encoder" | "tokenizers" | "language">;
export type PartKind = keyof typeof reads;
export type EncoderSettings = ReturnType<typeof reads.encoder>;
export type LanguageModelSettings = ReturnType<typeof reads.languageModel>;
export type TokenizersSettings = ReturnType<typeof reads.tokenizers>;
export type CodesSettings = ReturnType<typeof reads.codes>;

const prefixes: Readonly<Record<PartKind, string>> = {
  encoder: "encoder",
  languageModel: "text-lm",
  tokenizers: "tokenizers",
  codes: "codes",
};

/** What a reader of a folder knows a part by. It is a setting like others, so the hash need not have it too. */
function labelOf(kind: PartKind, { language, tokenizers }: Read): string | undefined {
  if (kind === "languageModel") return language.backbone;
  return kind === "encoder" ? undefined : tokenizers.dataShare?.toString();
}
const labels: readonly string[] = ["language.backbone", "tokenizers.dataShare"];

/**
 * The names of the shared parts that a recipe is trained from: kind, label, and a hash of all other settings that the
 * part reads and that differ from those of the scale's baseline. A setting at its default is in no hash, so a setting
 * that is new gives no part of before another name.
 */
export function partsOf(recipe: Read): Record<PartKind, string> {
  const base = baselines[recipe.scale];
  const name = (kind: PartKind) => {
    const own = differences(reads[kind](base), reads[kind](recipe)).filter(({ path }) => !labels.includes(path));
    const hash = own.length > 0 ? hashOfValue(own.map(({ path, now }) => [path, now]).sort()).slice(0, 8) : undefined;
    return [prefixes[kind], labelOf(kind, recipe), hash].filter((part) => part !== undefined).join("-");
  };
  return {
    encoder: name("encoder"),
    languageModel: name("languageModel"),
    tokenizers: name("tokenizers"),
    codes: name("codes"),
  };
}

/** The names that parts had when a label was all that told them apart: folders of then are still opened. */
export function labelledParts(recipe: Read): Record<PartKind, string> {
  const name = (kind: PartKind) => [prefixes[kind], labelOf(kind, recipe)].filter(Boolean).join("-");
  return {
    encoder: name("encoder"),
    languageModel: name("languageModel"),
    tokenizers: name("tokenizers"),
    codes: name("codes"),
  };
}

/** SHA-256 of a value of JSON, whatever the order of its keys. */
export function hashOfValue(value: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(value)))
    .digest("hex");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, entry]) => [key, sorted(entry)]));
}
