import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { DType } from "../dtype.js";
import { CheckpointError, DisposedError } from "../errors.js";
import { readSafetensorsHeader } from "../safetensors/read.js";
import type { Tensor } from "../tensor.js";
import { type Choice, chooseWeights, suffixOf, type WeightsFormat } from "./choose.js";
import { readIndex } from "./shards.js";
import { type StoredFile, type StoredTensor, storedFile, tensorAt } from "./stored.js";
import { readTorchFile } from "./torch-file.js";

/** What is known of a tensor before it is read. */
export interface WeightEntry {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** The file that it lies in. */
  readonly file: string;
}

/** Which part of a file to open. */
export interface OpenWeightsOptions {
  /**
   * For files of `torch.save`: the path of keys, joined by dots, to the dict whose tensors are wanted; "" is the
   * outermost. Default: the outermost if a tensor lies in it directly, otherwise the one dict in it for which that is so.
   */
  readonly inside?: string;
}

/** Weights of a checkpoint, opened: all names, shapes and dtypes, and tensors on demand. Made by `openWeights`. */
export class Weights {
  /** Every tensor by name, in the order of the files. Names are the checkpoint's own. */
  readonly entries: ReadonlyMap<string, WeightEntry>;
  /** The file, or the index, that was chosen. */
  readonly source: string;
  /** How it is stored: "torch" is a file of `torch.save`. */
  readonly format: WeightsFormat;
  /** The files that the tensors lie in: several where the checkpoint is sharded. */
  readonly files: readonly string[];
  /** The dict that was opened, as `inside` names it: "" for the outermost. */
  readonly inside: string;
  readonly #stored: readonly StoredFile[];
  readonly #places = new Map<string, [StoredFile, StoredTensor]>();
  #isDisposed = false;

  /** @internal Made by `openWeights`. */
  constructor({ path, format }: Choice, stored: readonly StoredFile[], inside: string) {
    const entries = new Map<string, WeightEntry>();
    for (const file of stored) {
      for (const [name, tensor] of file.tensors) {
        entries.set(name, { shape: tensor.shape, dtype: tensor.dtype, file: file.path });
        this.#places.set(name, [file, tensor]);
      }
    }
    this.entries = entries;
    this.source = path;
    this.format = format;
    this.files = stored.map((file) => file.path);
    this.inside = inside;
    this.#stored = stored;
  }

  /**
   * One tensor, in host memory, of the file's dtype and strides. It belongs to the caller and outlives this object. Its
   * bytes are the mapped file's, read when they are used; tensors that share them in the file share them here. Writing
   * to it changes neither the file nor what another reader sees.
   * @throws CheckpointError for a name that is not there; DisposedError
   */
  tensor(name: string): Tensor {
    if (this.#isDisposed) throw new DisposedError(`${this.source}: these weights were used after they were freed`);
    const place = this.#places.get(name);
    if (!place)
      throw new CheckpointError(`${this.source}: there is no tensor ${JSON.stringify(name)}. ${this.#names()}`);
    return tensorAt(place[0].mapped, place[1]);
  }

  /** All tensors by name, or those whose names begin with `prefix`, as `Module.load` takes them. See `tensor`. */
  tensors(prefix = ""): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    for (const name of this.entries.keys()) if (name.startsWith(prefix)) found.set(name, this.tensor(name));
    return found;
  }

  /** Frees the mapping, as far as no tensor needs it. Freeing twice does nothing. */
  dispose(): void {
    this.#isDisposed = true;
    for (const { mapped } of this.#stored) mapped.dispose();
  }

  /** `using weights = openWeights(…)` frees it at the end of the block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** What was chosen, in a line. */
  toString(): string {
    const shards = this.files.length === 1 ? "" : ` in ${this.files.length} files`;
    const inside = this.inside === "" ? "" : `, inside ${JSON.stringify(this.inside)}`;
    return `${this.source}: ${this.entries.size} tensors${shards}, format ${this.format}${inside}`;
  }

  #names(): string {
    const first = [...this.entries.keys()].slice(0, 5).map((name) => JSON.stringify(name));
    const more = this.entries.size > first.length ? ", …" : "";
    return `There are ${this.entries.size}: ${first.join(", ")}${more}`;
  }
}

/**
 * Opens the weights of a checkpoint without reading a tensor. The files are mapped and their headers checked.
 *
 * A folder is searched for `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin` and
 * `pytorch_model.bin.index.json`, in this order, then for the only file or index of one of these kinds (`*.pt`, `*.pth`,
 * `*.ckpt` count as `*.bin`). What was chosen is in `source`, `format` and `files`.
 *
 * Files of `torch.save` (torch 1.6 or newer) are read by a machine that can make tensors and plain containers and
 * nothing else; a file that asks for more is refused, and nothing of it is run. The name of a tensor is the keys on the
 * way to it, joined by dots; `inside` says from where.
 * @throws CheckpointError that names the file and what is wrong with it
 */
export function openWeights(path: string, { inside }: OpenWeightsOptions = {}): Weights {
  const choice = chooseWeights(path);
  if (choice.isIndex) return new Weights(choice, openShards(choice, inside), inside ?? "");
  const file = openFile(choice.path, choice.format, inside);
  return new Weights(choice, [file], file.inside);
}

function openFile(path: string, format: WeightsFormat, inside: string | undefined): StoredFile & { inside: string } {
  if (format === "torch") return storedFile(path, () => readTorchFile(path, inside));
  if (inside)
    throw new CheckpointError(`${path}: a safetensors file has no dicts, there is no ${JSON.stringify(inside)}`);
  return storedFile(path, () => {
    const { entries, dataStart } = readSafetensorsHeader(path);
    const tensors = new Map<string, StoredTensor>();
    for (const [name, { dtype, shape, begin, end }] of entries) {
      tensors.set(name, { dtype, shape, strides: null, begin: dataStart + begin, bytes: end - begin });
    }
    return { tensors, inside: "" };
  });
}

/** All files that an index names, or none: every tensor where the index says, and nowhere else. */
function openShards({ path, format }: Choice, inside: string | undefined): StoredFile[] {
  const index = readIndex(path, suffixOf(format));
  const names = [...new Set(index.values())].sort();
  const missing = names.filter((name) => !existsSync(join(dirname(path), name)));
  if (missing.length > 0) {
    const shown = `${missing.slice(0, 10).join(", ")}${missing.length > 10 ? ", …" : ""}`;
    throw new CheckpointError(`${path}: ${missing.length} of ${names.length} shards are missing: ${shown}`);
  }
  const shards: StoredFile[] = [];
  try {
    // An index has the names of the outermost dict.
    for (const name of names) shards.push(openFile(join(dirname(path), name), format, inside ?? ""));
    requireAgreement(path, index, shards);
  } catch (error) {
    for (const { mapped } of shards) mapped.dispose();
    throw error;
  }
  return shards;
}

/** A shard may hold what the index passes over, but no tensor may be in two shards. */
function requireAgreement(path: string, index: ReadonlyMap<string, string>, shards: readonly StoredFile[]): void {
  const holders = new Map<string, string>();
  for (const shard of shards) {
    const file = basename(shard.path);
    for (const name of shard.tensors.keys()) {
      const other = holders.get(name);
      if (other) throw new CheckpointError(`${path}: tensor ${JSON.stringify(name)} is in both ${other} and ${file}`);
      holders.set(name, file);
    }
  }
  const absent = [...index].filter(([name, file]) => holders.get(name) !== file);
  if (absent.length > 0) {
    const [name, file] = absent[0]!;
    const others = absent.length > 1 ? ` So it is with ${absent.length - 1} more.` : "";
    const where = holders.has(name) ? `it is in ${holders.get(name)}` : "it is in none";
    throw new CheckpointError(`${path}: tensor ${JSON.stringify(name)} is not in ${file}: ${where}.${others}`);
  }
}
