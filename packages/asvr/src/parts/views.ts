import { join } from "node:path";
import { type Tensor, tidy } from "@asvr/torch";
import { loadPictures } from "../data/picture-set.js";
import { buildSample } from "../data/samples.js";
import { readText } from "../files.js";
import { plain } from "../language/conversation.js";
import type { TextTokenizer } from "../language/tokenizer.js";
import type { EncoderRecord } from "../micro/index.js";
import type { CaptionedView } from "../training/objectives/encoder.js";
import type { CaptionedPicture } from "../training/objectives/scenes.js";
import { unfoldPatches } from "../vision/patches.js";
import { SiglipTextTower } from "../vision/siglip-text.js";
import { microPreprocessing } from "./layout.js";
import type { PartContext } from "./part.js";

/** The longest caption in tokens, and a margin. */
const MAX_CAPTION = 64;

/** A small text tower, for captions of any length. */
export function buildTextTower(dim: number, vocabularySize: number): SiglipTextTower {
  return new SiglipTextTower({
    vocabularySize,
    maxTokens: MAX_CAPTION,
    dim,
    mlpDim: 2 * dim,
    layers: 1,
    heads: 4,
    readout: "mean",
    activation: "gelu",
  });
}

/** What the encoder learns from: whole pictures and single cells of them, with captions. */
export interface Views {
  /** (pictures, positions, patchDim) */
  patches: Tensor;
  views: CaptionedView[];
  pictures: CaptionedPicture[];
  encodeText: (caption: string) => readonly number[];
}

/** The caller frees the patches. */
export async function readViews(
  { folder, onProgress }: PartContext,
  patchSize: number,
  tokenizer: TextTokenizer,
): Promise<Views> {
  const records = JSON.parse(readText(join(folder, "data", "encoder.json"))) as EncoderRecord[];
  const paths = [...new Set(records.map(({ image }) => image))];
  const rowOf = new Map(paths.map((path, row) => [path, row]));
  const total = paths.length;
  const pixelValues = await loadPictures(join(folder, "data"), paths, microPreprocessing, (done) =>
    onProgress({ phase: "reading pictures", done, total }),
  );
  const patches = tidy(() => unfoldPatches(pixelValues, patchSize).contiguous());
  const grid = microPreprocessing.size / patchSize;
  pixelValues.dispose();

  const views: CaptionedView[] = [];
  const pictures: CaptionedPicture[] = [];
  for (const { id, image, captions, region } of records) {
    const picture = rowOf.get(image)!;
    if (region) {
      views.push({ picture, positions: positionsOf(region, patchSize, grid), captions });
      continue;
    }
    const conversations = [
      { from: "human" as const, value: "<image>" },
      { from: "gpt" as const, value: captions[0]! },
    ];
    const { sample } = buildSample(
      { id, image, conversations },
      { tokenizer, template: plain, imageTokens: grid * grid, maxLength: 128, imageRef: (key) => ({ key }) },
    );
    pictures.push({ picture, captions, sample });
  }
  const known = new Map<string, readonly number[]>();
  const encodeText = (caption: string) => {
    const ids = known.get(caption) ?? tokenizer.encode(caption);
    known.set(caption, ids);
    return ids;
  };
  return { patches, views, pictures, encodeText };
}

/** Patches that a region covers, row by row. Regions lie along the patches. */
function positionsOf(
  [x, y, width, height]: readonly [number, number, number, number],
  patch: number,
  grid: number,
): number[] {
  const positions: number[] = [];
  for (let row = y / patch; row < (y + height) / patch; row++) {
    for (let column = x / patch; column < (x + width) / patch; column++) positions.push(row * grid + column);
  }
  return positions;
}
