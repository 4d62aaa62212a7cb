import { closeSync, existsSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { openWeights } from "@asvr/torch";
import { ConfigError } from "../../errors.js";
import { latestCheckpoint } from "../../training/checkpoint.js";
import { dtypeBytes } from "../dtype-bytes.js";
import { readGgufHeader } from "../gguf/header.js";
import { MAGIC } from "../gguf/types.js";
import { ADAPTER_CONFIG } from "../whole-model.js";
import { adapterKind, checkpointKind, fileKind, hubKind, type Kind, runKind } from "./kinds.js";
import { type Part, partsOf, type Stored } from "./parts.js";

/** What a checkpoint is and holds. */
export interface Inspection extends Kind {
  readonly path: string;
  /** How the weights are stored; null where there are none. */
  readonly format: "safetensors" | "torch" | "gguf" | null;
  /** The files of weights, by name; shards where there are several. */
  readonly files: readonly { readonly file: string; readonly bytes: number }[];
  readonly tensors: number;
  readonly parameters: number;
  /** Of the tensors. */
  readonly bytes: number;
  readonly parts: readonly Part[];
}

/**
 * What a checkpoint is: a run of ours or one of its checkpoints, a folder of Hugging Face's, a file of weights, a GGUF
 * file. Names, shapes and dtypes are read, no weight is.
 * @throws ConfigError when there is nothing, CheckpointError for malformed files
 */
export async function inspectCheckpoint(path: string): Promise<Inspection> {
  if (!existsSync(path)) throw new ConfigError(`${path} does not exist`);
  if (!statSync(path).isDirectory()) return isGguf(path) ? inspectGguf(path) : inspectWeights(path, path);
  const has = (name: string) => existsSync(join(path, name));
  if (has("recipe.json")) {
    const newest = await latestCheckpoint(path);
    const kind = runKind(path, newest && `${basename(newest.path)}, the newest that is whole`);
    return newest ? inspectWeights(path, join(newest.path, "model.safetensors"), kind) : { ...empty(path), ...kind };
  }
  if (has("study.json"))
    throw new ConfigError(`${path} is the folder of a study: name one of its rows, as ${path}/asvr-s0`);
  if (has("manifest.json")) return inspectWeights(path, join(path, "model.safetensors"), await checkpointKind(path));
  if (has("config.json")) return inspectWeights(path, path, hubKind(path));
  if (has(ADAPTER_CONFIG)) return inspectWeights(path, path, adapterKind(path));
  const gguf = readdirSync(path).filter((name) => name.endsWith(".gguf"));
  if (gguf.length === 1) return inspectGguf(join(path, gguf[0]!));
  return inspectWeights(path, path);
}

function empty(path: string): Omit<Inspection, keyof Kind> {
  return { path, format: null, files: [], tensors: 0, parameters: 0, bytes: 0, parts: [] };
}

function inspectWeights(path: string, place: string, kind?: Kind): Inspection {
  using weights = openWeights(place);
  const stored = Array.from(weights.entries, ([name, { shape, dtype }]): Stored => {
    const parameters = product(shape);
    return { name, parameters, bytes: parameters * dtypeBytes(dtype), dtype };
  });
  const { format, source, inside } = weights;
  return {
    path,
    format,
    ...(kind ?? fileKind(source, format, inside)),
    files: weights.files.map(sized),
    ...sums(stored),
  };
}

function inspectGguf(path: string): Inspection {
  const { metadata, entries, version } = readGgufHeader(path);
  const stored = Array.from(entries, ([name, { shape, type, bytes }]): Stored => {
    return { name, parameters: product(shape), bytes, dtype: type.name };
  });
  const architecture = String(metadata.get("general.architecture") ?? "none is given");
  const facts: Record<string, string> = { architecture, version: String(version) };
  const named = metadata.get("general.name");
  if (typeof named === "string") facts.name = named;
  const words = metadata.get("tokenizer.ggml.tokens");
  if (Array.isArray(words)) {
    facts.tokenizer = `${String(metadata.get("tokenizer.ggml.model"))}, ${words.length} tokens`;
  }
  const context = metadata.get(`${architecture}.context_length`);
  if (context !== undefined) facts["context length"] = String(context);
  const splits = metadata.get("split.count");
  if (typeof splits === "number" && splits > 1) facts.part = `${Number(metadata.get("split.no")) + 1} of ${splits}`;
  return { path, kind: ggufKind(metadata), facts, format: "gguf", files: [sized(path)], ...sums(stored) };
}

function ggufKind(metadata: ReadonlyMap<string, unknown>): string {
  const type = metadata.get("general.type");
  if (type === "mmproj" || metadata.get("general.architecture") === "clip")
    return "GGUF file of a vision part (mmproj)";
  return type === undefined || type === "model" ? "GGUF file" : `GGUF file of the type ${String(type)}`;
}

function sums(stored: readonly Stored[]): Pick<Inspection, "tensors" | "parameters" | "bytes" | "parts"> {
  const parts = partsOf(stored);
  const total = (count: (part: Part) => number) => parts.reduce((sum, part) => sum + count(part), 0);
  return {
    tensors: stored.length,
    parameters: total(({ parameters }) => parameters),
    bytes: total(({ bytes }) => bytes),
    parts,
  };
}

function product(shape: readonly number[]): number {
  return shape.reduce((elements, size) => elements * size, 1);
}

function sized(path: string): { file: string; bytes: number } {
  return { file: join(basename(dirname(path)), basename(path)), bytes: statSync(path).size };
}

/** By its first bytes, whatever its name. */
function isGguf(path: string): boolean {
  if (path.endsWith(".gguf") || !statSync(path).isFile()) return path.endsWith(".gguf");
  const descriptor = openSync(path, "r");
  try {
    const mark = Buffer.alloc(MAGIC.length);
    readSync(descriptor, mark, 0, MAGIC.length, 0);
    return mark.toString("latin1") === MAGIC;
  } finally {
    closeSync(descriptor);
  }
}
