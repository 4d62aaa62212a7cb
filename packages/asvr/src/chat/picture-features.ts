import { createHash } from "node:crypto";
import { keep, noGrad, type Tensor, tidy } from "@asvr/torch";
import type { RgbImage } from "../data/images.js";
import { NonFiniteError } from "../errors.js";

/**
 * What a model sees in pictures, kept by their content while it fits into so many bytes, the last used longest. Owns
 * its tensors.
 */
export class PictureFeatures implements Disposable {
  readonly #see: (picture: RgbImage) => Tensor;
  readonly #capacity: number;
  readonly #features = new Map<string, Tensor>(); // in order of use
  readonly #keys = new WeakMap<RgbImage, string>();
  #bytes = 0;

  /** @param capacity in bytes; a picture that alone is larger is not kept */
  constructor(see: (picture: RgbImage) => Tensor, capacity: number) {
    this.#see = see;
    this.#capacity = capacity;
  }

  /** Equal for pictures of equal pixels. */
  keyOf(picture: RgbImage): string {
    const known = this.#keys.get(picture);
    if (known !== undefined) return known;
    const { width, height, data } = picture;
    const key = `${width}x${height}:${createHash("sha256").update(data).digest("base64")}`;
    this.#keys.set(picture, key);
    return key;
  }

  /** (tokens, hiddenSize), the caller's: it lives on its own. */
  of(picture: RgbImage): Tensor {
    const key = this.keyOf(picture);
    const kept = this.#features.get(key);
    if (kept) {
      this.#features.delete(key);
      this.#features.set(key, kept);
      return noGrad(() => kept.detach());
    }
    const seen = noGrad(() => tidy(() => this.#see(picture)));
    if (tidy(() => seen.isfinite().all().item()) === 0) {
      seen.dispose();
      throw new NonFiniteError(
        "what the model sees in the picture is no number (NaN or infinite): a weight of its vision tower or projector " +
          "is none, or a sum in it overflowed. Fetch the checkpoint again, or open it in float32 (--dtype float32).",
      );
    }
    this.#remember(key, seen);
    return seen;
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#features.values()) tensor.dispose();
    this.#features.clear();
    this.#bytes = 0;
  }

  #remember(key: string, seen: Tensor): void {
    if (bytesOf(seen) > this.#capacity) return;
    this.#features.set(key, keep(noGrad(() => seen.detach())));
    this.#bytes += bytesOf(seen);
    for (const [oldest, tensor] of this.#features) {
      if (this.#bytes <= this.#capacity) break;
      this.#features.delete(oldest);
      this.#bytes -= bytesOf(tensor);
      tensor.dispose();
    }
  }
}

function bytesOf(tensor: Tensor): number {
  return tensor.elementCount * (tensor.dtype === "float32" ? 4 : 2);
}
