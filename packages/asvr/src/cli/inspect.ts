import { type Inspection, inspectCheckpoint } from "../checkpoints/inspect/inspect.js";
import { printJson } from "./options.js";
import { print } from "./printable.js";

/** Prints what a checkpoint is. */
export async function inspect(path: string, { json }: { json: boolean }): Promise<void> {
  const found = await inspectCheckpoint(path);
  if (json) printJson(found);
  else print(describe(found));
}

function describe({ path, kind, facts, format, files, tensors, parameters, bytes, parts }: Inspection): string {
  const lines = [`${path}: ${kind}`, ...Object.entries(facts).map(([name, fact]) => `  ${name.padEnd(16)}${fact}`)];
  if (format === null) return `${[...lines, "  no weights yet"].join("\n")}\n`;
  const [only] = files;
  const where = files.length === 1 ? only!.file : `${files.length} shards, ${only!.file} the first`;
  lines.push(`  ${"weights".padEnd(16)}${format}, ${where}, ${inBytes(bytes)}`);
  const rows = parts.map(({ part, dtypes, ...sum }) => [
    part,
    String(sum.tensors),
    sum.parameters.toLocaleString("en"),
    inBytes(sum.bytes),
    Object.keys(dtypes).join(", "),
  ]);
  rows.unshift(["part", "tensors", "parameters", "size", "dtypes"]);
  rows.push(["together", String(tensors), parameters.toLocaleString("en"), inBytes(bytes), ""]);
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 || column === 4 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
    );
    lines.push(`  ${cells.join("  ").trimEnd()}`);
  }
  return `${lines.join("\n")}\n`;
}

function inBytes(bytes: number): string {
  const [unit, size] = (
    [
      ["GB", 1e9],
      ["MB", 1e6],
      ["kB", 1e3],
    ] as const
  ).find(([, one]) => bytes >= one) ?? ["B", 1];
  return `${(bytes / size).toFixed(unit === "B" ? 0 : 1)} ${unit}`;
}
