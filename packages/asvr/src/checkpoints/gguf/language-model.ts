import { CheckpointError, type DType, nn, noGrad, setThreads, threads, tidy } from "@asvr/torch";
import { LlamaForCausalLM } from "../../language/llama.js";
import { type GgufFile, openGguf } from "./file.js";
import { ggufLlamaConfig, ROPE_FACTORS } from "./llama-metadata.js";
import { ggufName, ggufShapes, hasInterleavedRows } from "./names.js";
import { halvesFromPairs } from "./rows.js";

/**
 * Loads the language model of a GGUF file: architectures `llama` (Llama, Vicuna, Mistral, SmolLM2) and `qwen2`; plain
 * numbers and the quantised types Q4_0 to Q8_0 and Q2_K to Q6_K, decoded into the model's own weights. The caller frees it.
 * @throws ConfigError that names file and key for what this build can't do
 * @throws CheckpointError for a malformed file, and one that lists every tensor that is missing, misshapen or not used
 */
export function loadGgufLanguageModel(
  path: string,
  options: { device?: string; dtype?: DType } = {},
): LlamaForCausalLM {
  using file = openGguf(path);
  const config = ggufLlamaConfig(file);
  requireSameTensors(file, ggufShapes(config)); // before a size that the metadata claims is allocated
  const model = nn.creating({ ...options, initialise: false }, () => new LlamaForCausalLM(config));
  const before = threads();
  setThreads(1); // what is decoded at a time is too little to share: several threads take longer
  try {
    readWeights(file, model);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  } finally {
    setThreads(before);
  }
}

/**
 * Overwrites a language model's weights with those of a GGUF file of the same sizes.
 * @throws ConfigError and CheckpointError as `loadGgufLanguageModel`; CheckpointError for a model of other sizes
 */
export function fillFromGguf(model: LlamaForCausalLM, path: string): void {
  using file = openGguf(path);
  requireSameTensors(file, ggufShapes(ggufLlamaConfig(file)));
  readWeights(file, model);
}

function readWeights(file: GgufFile, model: LlamaForCausalLM): void {
  const isInterleaved = file.metadata.get("general.architecture") === "llama";
  noGrad(() =>
    tidy(() => {
      for (const [name, place] of model.stateDict()) {
        const stored = ggufName(name);
        if (!isInterleaved || !hasInterleavedRows(name)) file.readInto(stored, place);
        else tidy(() => place.copy_(halvesFromPairs(file.tensor(stored), model.model.layers[0]!.selfAttn.headDim)));
      }
    }),
  );
}

/** @throws CheckpointError that lists every tensor that is missing, misshapen or not used */
export function requireSameTensors(file: GgufFile, wanted: ReadonlyMap<string, readonly number[]>): void {
  const problems: string[] = [];
  for (const [name, shape] of wanted) {
    const found = file.entries.get(name)?.shape;
    if (!found) problems.push(`missing: ${name} (${shape.join(", ")})`);
    else if (found.join() !== shape.join()) {
      problems.push(`shape: ${name} is (${found.join(", ")}), the model has (${shape.join(", ")})`);
    }
  }
  for (const name of file.entries.keys()) {
    if (!wanted.has(name) && name !== ROPE_FACTORS) problems.push(`unexpected: ${name}`);
  }
  if (problems.length === 0) return;
  const more = problems.length > 20 ? `\n  and ${problems.length - 20} more` : "";
  throw new CheckpointError(
    `${file.path}: the tensors do not fit its metadata:\n  ${problems.slice(0, 20).join("\n  ")}${more}`,
  );
}
