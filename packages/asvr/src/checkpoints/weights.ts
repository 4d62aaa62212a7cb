import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, readSafetensors, type Tensor, tidy } from "@asvr/torch";
import { z } from "zod";

const single = "model.safetensors";
const index = `${single}.index.json`;
const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * The weights of a checkpoint folder by name: one `model.safetensors`, or the shards that
 * `model.safetensors.index.json` names. The files are mapped, not read. The caller frees the tensors (a `tidy` does).
 * @throws CheckpointError when there is neither, a file is malformed, or index and shards disagree
 */
export function readWeights(folder: string): Map<string, Tensor> {
  if (existsSync(join(folder, index))) return readShards(folder);
  if (existsSync(join(folder, single))) return readSafetensors(join(folder, single)).tensors;
  throw new CheckpointError(`${folder}: has neither ${single} nor ${index}`);
}

function readShards(folder: string): Map<string, Tensor> {
  const shardOf = readIndex(join(folder, index));
  return tidy(() => {
    const weights = new Map<string, Tensor>();
    const problems: string[] = [];
    for (const shard of new Set(shardOf.values())) {
      for (const [name, tensor] of readSafetensors(join(folder, shard)).tensors) {
        const named = shardOf.get(name);
        if (named === shard) weights.set(name, tensor);
        else problems.push(`${name} is in ${shard}, but the index says ${named ?? "nothing of it"}`);
      }
    }
    for (const [name, shard] of shardOf) if (!weights.has(name)) problems.push(`${name} is not in ${shard}`);
    if (problems.length > 0) throw new CheckpointError(`${join(folder, index)}:\n  ${problems.join("\n  ")}`);
    return weights;
  });
}

function readIndex(path: string): Map<string, string> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new CheckpointError(`${path}: is no JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = indexSchema.safeParse(json);
  if (!parsed.success) throw new CheckpointError(`${path}: has no weight_map of names to files`);
  const shards = new Map(Object.entries(parsed.data.weight_map));
  for (const shard of shards.values()) {
    if (!/^[^/\\]+\.safetensors$/.test(shard)) {
      throw new CheckpointError(`${path}: names ${JSON.stringify(shard)}, which is no safetensors file of the folder`);
    }
  }
  return shards;
}
