import { basename, resolve } from "node:path";
import { requireFree } from "../export/folder.js";
import { exportGguf } from "../export/gguf.js";
import { exportHuggingFace } from "../export/hf.js";
import { type ExportSource, hubSource, isRun, runSource } from "../export/source.js";
import { studyOf } from "../parts/start.js";
import { commandContext } from "./context.js";
import { oneOf, printJson } from "./options.js";
import { print } from "./printable.js";
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
  else print(`${out}: ${parameters} parameters\n${files.map((file) => `  ${file}\n`).join("")}`);
}

export interface ExportGgufOptions {
  out: string;
  type: string;
  json: boolean;
}

/** Writes a model as llama.cpp's files. */
export async function exportToGguf(source: string, { out, type, json }: ExportGgufOptions): Promise<void> {
  requireFree(out);
  const floats = oneOf("--type", type.toUpperCase(), ["F32", "F16", "BF16"]);
  using opened = await openSource(source);
  const { files, parameters } = await exportGguf(opened, out, { name: basename(resolve(source)), type: floats });
  if (json) printJson({ source, out, parameters, files });
  else print(`${out}: ${parameters} parameters\n${files.map((file) => `  ${file}\n`).join("")}`);
}

async function openSource(source: string): Promise<ExportSource> {
  if (!isRun(source)) return hubSource(source);
  const neverStopped = new AbortController().signal; // it takes seconds: Ctrl-C simply ends it
  const context = await commandContext(await studyOf(source), source, progressDisplay(), neverStopped);
  return runSource(context, source);
}
