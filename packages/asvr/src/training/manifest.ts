import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { basename, join } from "node:path";
import { CheckpointError } from "@asvr/torch";
import { z } from "zod";
import { openToRead, readText } from "../files.js";

const hash = z.string().regex(/^[0-9a-f]{64}$/, "it must be a SHA-256 in hexadecimal digits");
const steps = z.number().int().nonnegative();

const manifestSchema = z.object({
  format: z.literal("asvr-checkpoint-1"),
  stage: z.string().min(1),
  stageNumber: steps,
  step: steps,
  seconds: z.number().nonnegative(),
  files: z
    .record(z.string().regex(/^[\w-][\w.-]*$/, "it must be the name of a file"), hash)
    .refine(
      (files) => CHECKPOINT_FILES.every((file) => file in files),
      "it must name model.safetensors, optimizer.safetensors and random.safetensors",
    ),
  sha256: hash.optional(),
});

/** Files of every checkpoint, beside its manifest. */
const CHECKPOINT_FILES = ["model.safetensors", "optimizer.safetensors", "random.safetensors"];

/** Where a run stands. Kept in the checkpoint's manifest, which is written last: without it a checkpoint is none. */
export interface Position {
  stage: string;
  /** Of the stages of a run: 0 is the first. */
  stageNumber: number;
  /** Steps of this stage that are done. */
  step: number;
  /** Seconds of training so far in this stage, over all processes that worked on it. */
  seconds: number;
}

/** `manifest.json` of a checkpoint. */
export interface CheckpointManifest extends Position {
  format: "asvr-checkpoint-1";
  /** SHA-256 of every file. */
  files: Record<string, string>;
  /** SHA-256 of the manifest without this field, as compact JSON; checkpoints of earlier versions have none. */
  sha256?: string;
}

/** The folder of a checkpoint inside `checkpoints/`. */
export function checkpointName({ stage, step }: Position): string {
  return `${stage}-step-${String(step).padStart(7, "0")}`;
}

/** The text of a manifest, with its own hash. */
export function manifestText(position: Position, files: Record<string, string>): string {
  const manifest = { format: "asvr-checkpoint-1", ...position, files };
  return `${JSON.stringify({ ...manifest, sha256: hashOfValue(manifest) }, null, 2)}\n`;
}

/** The manifest of a checkpoint's folder. @throws CheckpointError when it is damaged, or its folder has another's name */
export async function readManifest(path: string): Promise<CheckpointManifest> {
  const file = join(path, "manifest.json");
  const value = parse(file, readText(file));
  const { sha256: _, ...unsigned } = value;
  const { format } = value;
  if (typeof format === "string" && format !== "asvr-checkpoint-1") {
    throw new CheckpointError(
      `${file}: the format is ${JSON.stringify(format)}, this version reads "asvr-checkpoint-1"`,
    );
  }
  const result = manifestSchema.safeParse(value);
  if (!result.success) {
    const problems = result.error.issues.map(({ path: at, message }) => {
      const seen = at.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)?.[key], value);
      return `${at.join(".")} is ${JSON.stringify(seen)?.slice(0, 80) ?? "missing"}: ${message}`;
    });
    throw new CheckpointError(`${file}: ${problems.join("; ")}. ${REMEDY}`);
  }
  const manifest = result.data;
  if (manifest.sha256 !== undefined && manifest.sha256 !== hashOfValue(unsigned)) {
    throw new CheckpointError(`${file} is not as it was written: its own sha256 differs. ${REMEDY}`);
  }
  // Manifests from before they had a hash are held against the name that was given with them.
  const name = basename(path);
  if (/-step-\d{7,}$/.test(name) && name !== checkpointName(manifest)) {
    throw new CheckpointError(
      `${file} says stage ${manifest.stage}, step ${manifest.step}, but its folder is ${name}. ${REMEDY}`,
    );
  }
  return manifest;
}

/** Holds the files of a checkpoint against its manifest. @throws CheckpointError */
export async function verifyFiles(path: string): Promise<void> {
  for (const [file, expected] of Object.entries((await readManifest(path)).files)) {
    if (!existsSync(join(path, file))) {
      throw new CheckpointError(`${join(path, file)} is missing, but the manifest names it. ${REMEDY}`);
    }
    const actual = await hashOfFile(join(path, file));
    if (actual !== expected) {
      throw new CheckpointError(
        `${join(path, file)}: its sha256 is ${actual.slice(0, 12)}…, the manifest says ${expected.slice(0, 12)}…. ${REMEDY}`,
      );
    }
  }
}

/** SHA-256 of a file of any size, in hexadecimal digits. */
export function hashOfFile(file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sum = createHash("sha256");
    createReadStream(file, { fd: openToRead(file).descriptor })
      .on("data", (chunk) => sum.update(chunk))
      .on("error", reject)
      .on("end", () => resolve(sum.digest("hex")));
  });
}

/** What to do about a checkpoint that is not whole. */
export const REMEDY =
  "The file was damaged or replaced: delete this checkpoint's folder to go on from the one before it.";

function parse(file: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${file} is no JSON. ${REMEDY}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new CheckpointError(`${file} is no JSON object. ${REMEDY}`);
}

function hashOfValue(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}
