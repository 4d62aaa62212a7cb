import { type Tensor, tensor, tidy } from "@asvr/torch";
import { DataError } from "../errors.js";
import type { VisualBatch } from "./lvlm.js";

/**
 * What the model needs of every picture, computed once: frozen features (or the embeddings of discrete codes), and the
 * codes to reconstruct. Owns its tensors.
 */
export class VisualCache {
  readonly #index: ReadonlyMap<string, number>;

  /**
   * @param keys a picture a row, by the key of its ImageRef
   * @param features (pictures, positions, visualDim)
   * @param codes (pictures, positions, D) by target name, any integer dtype
   */
  constructor(
    keys: readonly string[],
    readonly features: Tensor,
    readonly codes: ReadonlyMap<string, Tensor>,
  ) {
    this.#index = new Map(keys.map((key, index) => [key, index]));
  }

  /** @throws DataError when a picture was not in the set that the cache was made from */
  batch(keys: readonly string[]): VisualBatch {
    const rows = Int32Array.from(keys, (key) => {
      const row = this.#index.get(key);
      if (row === undefined)
        throw new DataError(`there are no features of ${key}: make the codes of this data set first`);
      return row;
    });
    return tidy(() => {
      const at = tensor(rows).to({ dtype: "int64", device: this.features.device });
      const codes = Array.from(this.codes, ([name, all]) => [name, all.indexSelect(0, at).to("int64")] as const);
      return { features: this.features.indexSelect(0, at).to("float32"), codes: new Map(codes) };
    });
  }

  dispose(): void {
    this.features.dispose();
    for (const codes of this.codes.values()) codes.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
