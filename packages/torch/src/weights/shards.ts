import { CheckpointError } from "../errors.js";
import { readWholeFile } from "../files.js";
import { duplicateKey } from "../safetensors/duplicate-key.js";
import { MAX_HEADER_BYTES } from "../safetensors/header.js";

/**
 * Which file of its folder each tensor of a sharded checkpoint lies in: `weight_map` of a `*.index.json`.
 * @param suffix that a shard must have
 * @returns file names, without folder, by the tensors' names
 * @throws CheckpointError when it is malformed or names files outside of its folder
 */
export function readIndex(path: string, suffix: RegExp): Map<string, string> {
  const fail = (problem: string): never => {
    throw new CheckpointError(`${path}: ${problem}`);
  };
  const weightMap = (parse(path, fail) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof weightMap !== "object" || weightMap === null || Array.isArray(weightMap)) {
    return fail("it has no weight_map from tensors to files");
  }
  const files = new Map<string, string>();
  for (const [name, file] of Object.entries(weightMap)) {
    if (typeof file !== "string" || !isPlainName(file)) {
      return fail(`tensor ${JSON.stringify(name)}: ${JSON.stringify(file)} is no file of this folder`);
    }
    if (!suffix.test(file)) fail(`tensor ${JSON.stringify(name)}: ${JSON.stringify(file)} is of another format`);
    files.set(name, file);
  }
  if (files.size === 0) fail("its weight_map is empty");
  return files;
}

function parse(path: string, fail: (problem: string) => never): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(readWholeFile(path, MAX_HEADER_BYTES));
    const parsed: unknown = JSON.parse(text);
    const twice = duplicateKey(text);
    if (twice !== undefined) fail(`it has the key ${JSON.stringify(twice)} twice`);
    return parsed;
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: can't be read: ${(cause as Error).message}`, { cause });
  }
}

/** Links are followed, as model caches use them; a name that is a path leads wherever its writer wants. */
function isPlainName(file: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return file !== "" && file !== "." && file !== ".." && !/[/\\:\u0000-\u001f]/.test(file);
}
