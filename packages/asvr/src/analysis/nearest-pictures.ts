import { existsSync } from "node:fs";
import { join } from "node:path";
import { noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import { DataError } from "../errors.js";
import { frozenFolders, originOf, readEncoded } from "../parts/codes.js";
import { files, microPreprocessing, partFolder, splits } from "../parts/layout.js";
import type { Recipe } from "../recipes/recipe.js";
import type { CodeEmbeddings } from "../supervision/supervision.js";

/** Pictures whose codes are embedded together. */
const BATCH = 256;

export interface NearPicture {
  /** The picture's path in the study's data folder. */
  readonly image: string;
  /** Between the sums of the codes' embeddings: of one position, or the mean over all. */
  readonly distance: number;
  /** Of one position: which of the picture's is the near one. */
  readonly position?: number;
}

export interface NearestOptions {
  readonly target: "semantic" | "appearance";
  /** How many pictures. */
  readonly count: number;
  /** Near at this position, wherever in the other picture it is; default: all positions, each at its place. */
  readonly position?: number;
  /** Pictures that are not wanted, such as the one whose codes these are; asked of the nearest first. */
  readonly leaveOut?: (image: string) => boolean;
  /** Of the run: it says whose codes the study keeps for it. */
  readonly recipe: Recipe;
  /** Where the tokenizer is. */
  readonly device: string;
}

/**
 * The pictures of a study whose codes are nearest to given ones, nearest first: what predicted codes look like.
 * @param codes a position a row
 * @throws DataError when the study has no codes, or those of other parts
 */
export async function nearestPictures(
  study: string,
  tokenizer: CodeEmbeddings,
  codes: readonly (readonly number[])[],
  options: NearestOptions,
): Promise<NearPicture[]> {
  const { recipe, target, count, leaveOut } = options;
  const origin = await originOf(frozenFolders(study, recipe), recipe, microPreprocessing);
  const codesFolder = partFolder(study, recipe, "codes");
  const there = splits.map((split) => join(codesFolder, files.codes(split))).filter((file) => existsSync(file));
  if (there.length === 0)
    throw new DataError(`${study} has no codes of its pictures: run the study first, or ask for none (0)`);
  const found: NearPicture[] = [];
  for (const file of there) {
    const encoded = readEncoded(file, origin);
    if (!encoded) {
      throw new DataError(
        `${file} was made with other parts than ${study} has now: run the study again, or ask for none (0)`,
      );
    }
    const { keys, ...pictures } = encoded;
    for (let start = 0; start < keys.length; start += BATCH) {
      const some = keys.slice(start, start + BATCH);
      const kept = pictures[target].narrow(0, start, some.length);
      const near = tidy(() => distances(tokenizer, kept, codes, options));
      found.push(...near.map((one, index) => ({ image: some[index]!, ...one })));
      kept.dispose();
    }
    for (const made of Object.values(pictures)) made.dispose();
  }
  const nearest: NearPicture[] = [];
  for (const one of found.sort((a, b) => a.distance - b.distance)) {
    if (nearest.length >= count) break;
    if (!leaveOut?.(one.image)) nearest.push(one);
  }
  return nearest;
}

/** @param pictures (pictures, positions, D) */
function distances(
  tokenizer: CodeEmbeddings,
  pictures: Tensor,
  codes: readonly (readonly number[])[],
  { position, device }: NearestOptions,
): Omit<NearPicture, "image">[] {
  const rows = position === undefined ? codes : [codes[position]!];
  return noGrad(() => {
    const depth = pictures.size(2);
    const sum = (of: Tensor) => tokenizer.embed(of.to({ dtype: "int64", device })).select(-2, depth - 1);
    const wanted = sum(tensor(rows.map((row) => [...row]))).unsqueeze(0); // (1, positions or 1, codeDim)
    const apart = sum(pictures).sub(wanted).square().sum([-1]).sqrt(); // (pictures, positions)
    if (position === undefined)
      return apart
        .mean([1])
        .toNumbers()
        .map((distance) => ({ distance }));
    const nearest = apart.argmin(1, true);
    const places = nearest.flatten().toNumbers();
    return apart
      .gather(1, nearest)
      .flatten()
      .toNumbers()
      .map((distance, index) => ({ distance, position: places[index]! }));
  });
}
