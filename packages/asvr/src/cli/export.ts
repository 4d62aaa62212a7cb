import { requireFree } from "../checkpoints/export/folder.js";
import { exportHuggingFace } from "../checkpoints/export/hf.js";
import { type ExportSource, hubSource, isRun, runSource } from "../checkpoints/export/source.js";
import { studyOf } from "../reproduce/start.js";
import { commandContext } from "./context.js";
import { printJson } from "./options.js";
import { progressDisplay } from "./progress.js";

export interface ExportHfOptions {
  out: string;
  shardSize: number;
  json: boolean;
}

/** Writes a model as a folder of Hugging Face's. */
export async function exportHf(source: string, { out, shardSize, json }: ExportHfOptions): Promise<void> {
  requireFree(out);
  using opened = await openSource(source);
  const { files, parameters } = await exportHuggingFace(opened, out, { shardBytes: shardSize * 1e6 });
  if (json) printJson({ source, out, parameters, files });
  else process.stdout.write(`${out}: ${parameters} parameters\n${files.map((file) => `  ${file}\n`).join("")}`);
}

async function openSource(source: string): Promise<ExportSource> {
  if (!isRun(source)) return hubSource(source);
  const neverStopped = new AbortController().signal; // it takes seconds: Ctrl-C simply ends it
  const context = await commandContext(await studyOf(source), source, progressDisplay(), neverStopped);
  return runSource(context, source);
}
