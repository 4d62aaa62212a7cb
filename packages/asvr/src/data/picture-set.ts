import { join } from "node:path";
import { defaultDevice, noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import { decodeImage } from "./images.js";
import { type Preprocessing, preprocess } from "./preprocess.js";

/** Decoding runs on sharp's own threads meanwhile: a few at a time keep them busy. */
const IN_FLIGHT = 8;

/**
 * Decodes and preprocesses pictures in order.
 * @param paths relative to `folder`
 * @returns (pictures, 3, size, size), float32, on the default device
 * @throws DataError for the first picture that cannot be used
 */
export async function loadPictures(
  folder: string,
  paths: readonly string[],
  preprocessing: Preprocessing,
  onProgress: (done: number) => void = () => {},
): Promise<Tensor> {
  const { size } = preprocessing;
  const width = 3 * size * size;
  const pixels = new Float32Array(paths.length * width);
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < paths.length) {
      const index = next++;
      const image = await decodeImage(join(folder, paths[index]!));
      pixels.set(preprocess(image, preprocessing), index * width);
      if (++done % 500 === 0) onProgress(done);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return tensor(pixels, { shape: [paths.length, 3, size, size], device: defaultDevice() });
}

/** Applies a network to many pictures, some at a time, without gradients. What it makes besides its result is freed. */
export function inBatches<T>(inputs: Tensor, batchSize: number, apply: (batch: Tensor) => T): T[] {
  return noGrad(() => {
    const outputs: T[] = [];
    for (let start = 0; start < inputs.size(0); start += batchSize) {
      const count = Math.min(batchSize, inputs.size(0) - start);
      outputs.push(tidy(() => apply(inputs.narrow(0, start, count))));
    }
    return outputs;
  });
}
