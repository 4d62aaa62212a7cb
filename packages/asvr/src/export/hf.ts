import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type nn, noGrad, tidy, writeSafetensors } from "@asvr/torch";
import { hubName } from "../checkpoints/llava-names.js";
import { makeWhole } from "./folder.js";
import { writeShards } from "./shards.js";
import type { ExportSource } from "./source.js";

/** As transformers has it. */
export const DEFAULT_SHARD_BYTES = 5e9;

/** What was written. */
export interface Exported {
  readonly files: string[];
  readonly parameters: number;
}

/**
 * Writes a LLaVA or LLaVA-NeXT as a folder that Hugging Face's transformers opens: configuration, weights, text
 * tokenizer, image processor, chat template, model card; the visual head beside it. The folder appears whole or not at
 * all.
 * @throws ConfigError when `out` exists and is not empty
 */
export async function exportHuggingFace(
  source: ExportSource,
  out: string,
  { shardBytes = DEFAULT_SHARD_BYTES }: { shardBytes?: number } = {},
): Promise<Exported> {
  const { model, files, head } = source;
  const written = [...files.keys()];
  await makeWhole(out, async (folder) => {
    for (const [name, content] of files) await writeFile(join(folder, name), content);
    written.push(...writeWeights(folder, model, shardBytes));
    if (!head) return;
    const file = join(folder, "visual_head.safetensors");
    tidy(() => writeSafetensors(file, head.module.stateDict(), { format: "pt" }));
    await writeFile(join(folder, "visual_head.json"), `${JSON.stringify(head.config, null, 2)}\n`);
    written.push("visual_head.safetensors", "visual_head.json");
  });
  return { files: written.sort(), parameters: model.parameterCount() };
}

function writeWeights(folder: string, model: nn.Module, shardBytes: number): string[] {
  return noGrad(() =>
    tidy(() => {
      const named = new Map([...model.stateDict()].map(([name, tensor]) => [hubName(name), tensor]));
      return writeShards(folder, named, shardBytes);
    }),
  );
}
