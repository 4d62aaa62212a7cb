import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Tensor, writeSafetensors } from "@asvr/torch";
import { dtypeBytes } from "../checkpoints/dtype-bytes.js";

/** Transformers reads no safetensors file that doesn't say this. */
const metadata = { format: "pt" };

/**
 * Writes weights as transformers does: `model.safetensors`, or, where they are more than `shardBytes`, shards with
 * `model.safetensors.index.json`. A tensor that is larger than that has a shard of its own.
 * @returns the names of the files
 */
export function writeShards(folder: string, weights: ReadonlyMap<string, Tensor>, shardBytes: number): string[] {
  const shards: Map<string, Tensor>[] = [];
  let filled = Number.POSITIVE_INFINITY;
  let total = 0;
  for (const [name, tensor] of weights) {
    const bytes = bytesOf(tensor);
    if (filled + bytes > shardBytes) {
      shards.push(new Map());
      filled = 0;
    }
    shards.at(-1)!.set(name, tensor);
    filled += bytes;
    total += bytes;
  }
  if (shards.length <= 1) {
    writeSafetensors(join(folder, "model.safetensors"), weights, metadata);
    return ["model.safetensors"];
  }
  const number = (index: number) => String(index).padStart(5, "0");
  const map: Record<string, string> = {};
  const files = shards.map((shard, index) => {
    const file = `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`;
    writeSafetensors(join(folder, file), shard, metadata);
    for (const name of shard.keys()) map[name] = file;
    return file;
  });
  const sorted = Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
  const index = { metadata: { total_size: total }, weight_map: sorted };
  writeFileSync(join(folder, "model.safetensors.index.json"), `${JSON.stringify(index, null, 2)}\n`, { flush: true });
  return [...files, "model.safetensors.index.json"];
}

function bytesOf({ elementCount, dtype }: Tensor): number {
  return elementCount * dtypeBytes(dtype);
}
