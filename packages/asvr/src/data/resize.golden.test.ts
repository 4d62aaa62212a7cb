import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { F, type Tensor, tensor } from "@asvr/torch";
import { expectClose, type Golden, goldenFamily, goldenRoots } from "@asvr/torch/testing";
import { expect } from "vitest";
import { decodeImage, type RgbImage } from "./images.js";
import { padToSquare, preprocess, siglipPreprocessing } from "./preprocess.js";
import { type Resampling, resize } from "./resize.js";
import { tilesOf } from "./tiles.js";
import { tilingOf } from "./tiling.js";

interface ImagesSidecar {
  readonly images: Readonly<Record<string, { readonly size: readonly [number, number] }>>;
  /** Width and height of each. */
  readonly grid_pinpoints: { readonly "3x3": readonly (readonly [number, number])[] };
}

/** libjpeg's builds differ by as much in a channel, so what is made of their pixels does, too. */
const JPEG_APART = 2;

// Goldens are checked synchronously: every picture is decoded before, as the reference does, and turned as people see it.
const decoded = new Map<string, { stored: RgbImage; turned: RgbImage }>();
for (const folder of goldenRoots().map((root) => join(root, "images"))) {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const file = join(folder, name);
    decoded.set(name, {
      stored: await decodeImage(file, { orientation: "ignore" }),
      turned: await decodeImage(file),
    });
  }
}

goldenFamily<unknown, ImagesSidecar>("i_images", (golden) => {
  const here = Object.keys(golden.sidecar.images).filter((name) => decoded.has(name));
  if (here.length === 0) golden.skip("its pictures are not here");
  for (const name of here) expectAsReference(golden, name);
});

function expectAsReference(golden: Golden<unknown, ImagesSidecar>, name: string): void {
  const { stored, turned } = decoded.get(name)!;
  const apart = /\.jpe?g$/.test(name) ? JPEG_APART : 0;
  const check = (key: string, image: () => Tensor, atol: number) => {
    const want = golden.tensors.get(`${name}/${key}`);
    if (want) expectClose(image().to("float32"), want.to("float32"), { rtol: 0, atol }, `${name}: ${key}`);
  };
  expect([stored.width, stored.height], name).toEqual(golden.sidecar.images[name]!.size);
  check("rgb", () => pixels(stored), apart);
  check("rgb_pooled", () => pooled(stored), 0.5);
  check("rgb_exif_pooled", () => pooled(turned), 0.5);
  for (const resampling of ["bicubic", "bilinear"] as Resampling[]) {
    const resized = (side: number) => resize(stored, side, side, resampling);
    check(`resize_${resampling}_56`, () => pixels(resized(56)), apart);
    check(`resize_${resampling}_384_pooled`, () => pooled(resized(384)), 0.3);
    check(`resize_${resampling}_384_rows`, () => rows(resized(384), [0, 191, 383]), apart);
  }
  const padded = padToSquare(stored, [127, 127, 127]);
  check("pad_bicubic_56", () => pixels(resize(padded, 56, 56)), apart);
  check("pad_bicubic_384_pooled", () => pooled(resize(padded, 384, 384)), 0.3);
  const pixelValues = () => tensor(preprocess(stored, { ...siglipPreprocessing, size: 56 }), { shape: [3, 56, 56] });
  check("siglip_56", pixelValues, apart === 0 ? 1e-6 : (apart + 0.01) / 127.5);
  const pinpoints = golden.sidecar.grid_pinpoints["3x3"].map(([width, height]) => ({ width, height }));
  const tiling = tilingOf(stored, { pinpoints, tileSize: 384, patchSize: 14 });
  check("anyres_3x3_pooled", () => F.stack(tilesOf(stored, tiling, 384).map(pooled)), 0.3);
}

/** (height, width, 3) */
function pixels({ width, height, data }: RgbImage): Tensor {
  return tensor(data, { shape: [height, width, 3] });
}

function rows(image: RgbImage, which: readonly number[]): Tensor {
  return pixels(image).indexSelect(0, tensor([...which]).to("int64"));
}

/** Means of 16 x 16 blocks of nearly equal size, (16, 16, 3). */
function pooled(image: RgbImage): Tensor {
  const means = new Float32Array(16 * 16 * 3);
  const edges = (size: number) => Array.from({ length: 17 }, (_, i) => Math.floor((i * size) / 16));
  const [across, down] = [edges(image.width), edges(image.height)];
  for (let at = 0; at < means.length; at++) {
    const [row, column, channel] = [Math.floor(at / 48), Math.floor(at / 3) % 16, at % 3];
    let sum = 0;
    for (let y = down[row]!; y < down[row + 1]!; y++) {
      for (let x = across[column]!; x < across[column + 1]!; x++)
        sum += image.data[(y * image.width + x) * 3 + channel]!;
    }
    means[at] = sum / ((down[row + 1]! - down[row]!) * (across[column + 1]! - across[column]!));
  }
  return tensor(means, { shape: [16, 16, 3] });
}
