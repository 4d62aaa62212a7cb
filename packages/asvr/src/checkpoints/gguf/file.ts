import { CheckpointError, DisposedError, F, keep, noGrad, type Tensor, tidy } from "@asvr/torch";
import { decoders } from "./dequantise.js";
import { type GgufEntry, type GgufHeader, readGgufHeader } from "./header.js";
import type { GgufValue } from "./types.js";

/** So many elements are decoded at a time: what is needed beside the result stays in the caches. */
const CHUNK_ELEMENTS = 1 << 16;

/** A GGUF file, opened: metadata, names, shapes and types of its tensors, and tensors on demand. Made by `openGguf`. */
export class GgufFile {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Every tensor by the file's own name, in its order. */
  readonly entries: ReadonlyMap<string, GgufEntry>;
  readonly #mapped: Tensor;

  /** @internal Made by `openGguf`. */
  constructor(
    readonly path: string,
    header: GgufHeader,
  ) {
    this.metadata = header.metadata;
    this.entries = header.entries;
    this.#mapped = noGrad(() => keep(F.fromFile(path, false, header.fileBytes, "uint8")));
  }

  /** A tensor, float32, in host memory. It belongs to the caller. @throws CheckpointError as `readInto` */
  tensor(name: string): Tensor {
    const { shape } = this.#entry(name);
    return tidy(() => {
      const values = F.empty(shape, "float32");
      this.readInto(name, values);
      return values;
    });
  }

  /**
   * Overwrites `target`: contiguous, of the tensor's shape, of any dtype and device.
   * @throws CheckpointError for a name that is not there, another shape, and a type that this build doesn't decode
   */
  readInto(name: string, target: Tensor): void {
    const entry = this.#entry(name);
    const { type, shape, begin, bytes } = entry;
    const about = `${this.path}: tensor ${JSON.stringify(name)}`;
    if (target.shape.join() !== shape.join()) {
      throw new CheckpointError(`${about} is (${shape.join(", ")}), not (${target.shape.join(", ")})`);
    }
    const decode = decoders[type.name];
    if (!decode) {
      throw new CheckpointError(
        `${about} is of the type ${type.name}, which can't be decoded; ${Object.keys(decoders).join(", ")} can`,
      );
    }
    if (this.#mapped.isDisposed) throw new DisposedError(`${this.path}: this file was used after it was freed`);
    noGrad(() =>
      tidy(() => {
        const columns = shape.at(-1)!;
        const rows = this.#mapped.narrow(0, begin, bytes).view([-1, (columns / type.elements) * type.bytes]);
        const values = target.view([-1, columns]);
        const step = Math.max(1, Math.floor(CHUNK_ELEMENTS / columns));
        for (let row = 0; row < rows.size(0); row += step) {
          tidy(() => {
            const count = Math.min(step, rows.size(0) - row);
            const blocks = rows.narrow(0, row, count).reshape([-1, type.bytes]);
            values.narrow(0, row, count).copy_(decode(blocks).view([count, columns]));
          });
        }
      }),
    );
  }

  /** Frees the mapping. Freeing twice does nothing. */
  dispose(): void {
    this.#mapped.dispose();
  }

  /** `using file = openGguf(…)` frees it at the end of the block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #entry(name: string): GgufEntry {
    const entry = this.entries.get(name);
    if (entry) return entry;
    const first = [...this.entries.keys()].slice(0, 5).join(", ");
    throw new CheckpointError(
      `${this.path}: there is no tensor ${JSON.stringify(name)}. There are ${this.entries.size}: ${first}, …`,
    );
  }
}

/** Opens a GGUF file: its header is read and checked, its tensors are mapped. @throws CheckpointError */
export function openGguf(path: string): GgufFile {
  return new GgufFile(path, readGgufHeader(path));
}
