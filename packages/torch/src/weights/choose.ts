import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError } from "../errors.js";

/** How weights are stored. */
export type WeightsFormat = "safetensors" | "torch";

/** What to open: a file of weights, or an index of several. */
export interface Choice {
  readonly path: string;
  readonly format: WeightsFormat;
  readonly isIndex: boolean;
}

const shardSuffix = { safetensors: /\.safetensors$/, torch: /\.(bin|pt|pth|ckpt)$/ };

/** What the name of a shard ends with. */
export function suffixOf(format: WeightsFormat): RegExp {
  return shardSuffix[format];
}

/** In the order of preference; each is taken by its usual name, or where it is the only one of its kind. */
const kinds: readonly (Omit<Choice, "path"> & { readonly usual: string; readonly pattern: RegExp })[] = [
  { format: "safetensors", isIndex: false, usual: "model.safetensors", pattern: shardSuffix.safetensors },
  {
    format: "safetensors",
    isIndex: true,
    usual: "model.safetensors.index.json",
    pattern: /\.safetensors\.index\.json$/,
  },
  { format: "torch", isIndex: false, usual: "pytorch_model.bin", pattern: shardSuffix.torch },
  { format: "torch", isIndex: true, usual: "pytorch_model.bin.index.json", pattern: /\.(bin|pt|pth)\.index\.json$/ },
];

/**
 * What of a folder, or that a file, holds the weights. A file is what its name says: `*.safetensors`, `*.index.json`,
 * and else one of `torch.save`.
 * @throws CheckpointError when there is nothing, or several that are as good
 */
export function chooseWeights(path: string): Choice {
  if (!isFolder(path)) {
    const isIndex = path.endsWith(".index.json");
    const name = isIndex ? path.slice(0, -".index.json".length) : path;
    return { path, format: shardSuffix.safetensors.test(name) ? "safetensors" : "torch", isIndex };
  }
  const names = readdirSync(path).sort();
  const chosen = (name: string, { format, isIndex }: Omit<Choice, "path">) => ({
    path: join(path, name),
    format,
    isIndex,
  });
  for (const kind of kinds) if (names.includes(kind.usual)) return chosen(kind.usual, kind);
  const found = kinds.map((kind) => ({ kind, files: names.filter((name) => kind.pattern.test(name)) }));
  for (const format of ["safetensors", "torch"] as const) {
    // An index comes before the shards it names.
    const ofFormat = found.filter(({ kind }) => kind.format === format).reverse();
    for (const { kind, files } of ofFormat) {
      if (files.length !== 1) continue;
      requireNoShard(path, files[0]!);
      return chosen(files[0]!, kind);
    }
    const several = ofFormat.flatMap(({ files }) => files);
    if (several.length > 0) {
      throw new CheckpointError(
        `${path}: none of its ${several.length} files of weights goes before the others: ` +
          `${several.slice(0, 10).join(", ")}. Name one; shards are opened by their *.index.json.`,
      );
    }
  }
  throw new CheckpointError(
    `${path}: there are no weights. Looked for *.safetensors, *.bin, *.pt, *.pth, *.ckpt, and a *.index.json of them.`,
  );
}

/** One shard alone opens as if it were the whole, and then everything else seems to be missing. */
function requireNoShard(folder: string, file: string): void {
  const [, number, count] = /-(\d{5})-of-(\d{5})\.[a-z]+$/.exec(file) ?? [];
  if (count === undefined || Number(count) === 1) return;
  throw new CheckpointError(
    `${folder}: ${file} is shard ${Number(number)} of ${Number(count)}, and the others and their *.index.json are not there`,
  );
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    throw new CheckpointError(`${path}: can't be read: ${(cause as Error).message}`, { cause });
  }
}
