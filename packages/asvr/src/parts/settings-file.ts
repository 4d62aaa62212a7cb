import { existsSync } from "node:fs";
import { join } from "node:path";
import { nn, setThreads } from "@asvr/torch";
import { readWholeFile } from "@asvr/torch/files";
import { ConfigError } from "../errors.js";
import { type StudySettings, settingsSchema } from "./settings.js";

/** Reads the settings of a study's folder. @throws ConfigError when there are none, or none that this version reads */
export async function readSettings(folder: string): Promise<StudySettings> {
  const file = join(folder, "settings.json");
  if (!existsSync(file)) throw new ConfigError(`${file} does not exist: ${folder} is not the folder of a study`);
  return readSettingsFile(file);
}

/** @throws ConfigError that names the file and every wrong setting */
export async function readSettingsFile(file: string): Promise<StudySettings> {
  let value: unknown;
  try {
    value = JSON.parse(readWholeFile(file).toString("utf8"));
  } catch (error) {
    throw new ConfigError(`${file} cannot be read as settings: ${(error as Error).message}`);
  }
  const result = settingsSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => `${path.join(".") || "the whole"}: ${message}`);
  throw new ConfigError(`${file}: ${problems.join("; ")}`);
}

/** Threads and dtype of the matrix products, as a study's settings say: results are equal only where these are. */
export function useSettings({ threads, matmul }: StudySettings): void {
  setThreads(threads);
  nn.setMatmulDtype(matmul === "float32" ? undefined : matmul);
}
