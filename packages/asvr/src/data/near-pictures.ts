import { readdirSync } from "node:fs";
import { join } from "node:path";
import { quoted } from "./faults.js";

/** What records may have meant that name no picture of a folder. */
export class NearPictures {
  /** The names in a folder, by themselves and in one form of accents and case. */
  readonly #listed = new Map<string, ReadonlyMap<string, string>>();

  constructor(readonly folder: string) {}

  /**
   * The picture that a name nearly names, as a sentence: its path has backslashes, its letters are composed otherwise or
   * of the other case. Undefined where there is none.
   */
  near(image: string): string | undefined {
    const wanted = image.split(/[/\\]/).filter((part) => part !== "" && part !== ".");
    const found: string[] = [];
    for (const part of wanted) {
      const names = this.#namesIn(join(this.folder, ...found));
      const name = names.get(part) ?? names.get(folded(part));
      if (name === undefined) return undefined;
      found.push(name);
    }
    if (found.length === 0) return undefined;
    const path = quoted(found.join("/"));
    if (image.includes("\\")) return `There is ${path}: write the path with slashes, not backslashes.`;
    if (found.join("/").normalize() === wanted.join("/").normalize()) {
      return `There is ${path}, which looks the same: its letters are composed otherwise (Unicode's NFC and NFD, as on a Mac). Rename one of the two.`;
    }
    return `There is ${path}: letters of the other case make another name.`;
  }

  #namesIn(folder: string): ReadonlyMap<string, string> {
    const known = this.#listed.get(folder);
    if (known) return known;
    const all = list(folder);
    const names = new Map([
      ...all.map((name) => [folded(name), name] as const),
      ...all.map((name) => [name, name] as const),
    ]);
    this.#listed.set(folder, names);
    return names;
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // no folder: nothing is near
  }
}

const folded = (name: string) => name.normalize().toLowerCase();
