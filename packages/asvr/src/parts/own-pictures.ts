import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import { decodeImage, readImageFile } from "../data/images.js";
import { type Preprocessing, preprocess } from "../data/preprocess.js";
import type { VisualCache } from "../model/visual-cache.js";
import type { Recipe } from "../recipes/recipe.js";
import { indices } from "../training/objectives/pictures.js";
import {
  type EncodedPictures,
  encodeOnce,
  frozenFolders,
  joined,
  originOf,
  readEncoded,
  visualCache,
  writeEncoded,
} from "./codes.js";
import { microPreprocessing } from "./layout.js";
import type { FrozenParts } from "./load.js";

/** Pictures that pass the encoder together. */
const BATCH = 64;

/** How a user's pictures reach the encoder: they have any size. */
export function ownPreprocessing({ data, encoder }: Recipe): Preprocessing {
  return { ...microPreprocessing, size: encoder.imageSize, mode: data.fit === "pad" ? "pad" : "resize" };
}

/**
 * Features and codes of a user's pictures, as they come by: each content once, in this call or an earlier one, since a
 * file keeps them by the SHA-256 of the pictures' bytes.
 */
export class PictureEncoder {
  /** Row of each content, by its hash. */
  readonly #rows = new Map<string, number>();
  readonly #hashOf = new Map<string, string>(); // by path
  readonly #encoded: EncodedPictures[] = [];
  #pending: Float32Array[] = [];
  #isChanged = false;

  private constructor(
    readonly parts: FrozenParts,
    readonly recipe: Recipe,
    readonly origin: string,
    /** Where they are kept; null: nowhere. */
    readonly file: string | null,
  ) {}

  /** @param study the folder of the frozen parts */
  static async open(study: string, parts: FrozenParts, recipe: Recipe, file: string | null): Promise<PictureEncoder> {
    const encoder = new PictureEncoder(
      parts,
      recipe,
      await originOf(frozenFolders(study, recipe), recipe, ownPreprocessing(recipe)),
      file,
    );
    const kept = file !== null && existsSync(file) ? readEncoded(file, encoder.origin) : undefined;
    if (kept) {
      const { keys, ...pictures } = kept;
      encoder.#encoded.push(pictures);
      for (const [row, hash] of keys.entries()) encoder.#rows.set(hash, row);
    }
    return encoder;
  }

  /** @param path of a picture. @throws DataError when it is none that can be used */
  async add(path: string): Promise<void> {
    const bytes = await readImageFile(path);
    const hash = createHash("sha256").update(bytes).digest("hex");
    this.#hashOf.set(path, hash);
    if (this.#rows.has(hash)) return;
    const pixels = preprocess(await decodeImage(bytes, { name: path }), ownPreprocessing(this.recipe));
    if (this.#rows.has(hash)) return; // the same picture under another name was faster
    this.#rows.set(hash, this.#rows.size);
    this.#pending.push(pixels);
    if (this.#pending.length === BATCH) this.#encode();
  }

  /** Writes what is new to the file. */
  async save(): Promise<void> {
    this.#encode();
    if (this.file === null || !this.#isChanged) return;
    await mkdir(dirname(this.file), { recursive: true });
    tidy(() => writeEncoded(this.file!, joined(this.#encoded), { keys: [...this.#rows.keys()], origin: this.origin }));
    this.#isChanged = false;
  }

  /** The content of a picture that was added, by its path. */
  hashOf(path: string): string {
    return this.#hashOf.get(path)!;
  }

  /** What the recipe's model reads of these pictures, and predicts; null for none. The caller frees it. */
  cache(paths: readonly string[]): VisualCache | null {
    this.#encode();
    if (paths.length === 0) return null;
    const rows = paths.map((path) => this.#rows.get(this.hashOf(path))!);
    const chosen = tidy(() => {
      const all = joined(this.#encoded);
      const at = indices(rows, all.features.device);
      const take = (of: Tensor) => of.indexSelect(0, at);
      return { features: take(all.features), semantic: take(all.semantic), appearance: take(all.appearance) };
    });
    return visualCache(paths, chosen, this.recipe, this.parts);
  }

  [Symbol.dispose](): void {
    for (const set of this.#encoded.splice(0)) for (const made of Object.values(set)) made.dispose();
  }

  #encode(): void {
    if (this.#pending.length === 0) return;
    const { imageSize: size } = this.recipe.encoder;
    const values = new Float32Array(this.#pending.length * 3 * size * size);
    for (const [row, pixels] of this.#pending.entries()) values.set(pixels, row * pixels.length);
    const { device } = this.parts.encoder.parameters()[0]!;
    const shape = [this.#pending.length, 3, size, size];
    this.#encoded.push(
      noGrad(() => tidy(() => encodeOnce(this.parts, this.recipe, tensor(values, { shape, device })))),
    );
    this.#pending = [];
    this.#isChanged = true;
  }
}
