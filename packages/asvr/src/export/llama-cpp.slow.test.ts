// What was exported, run by llama.cpp: the same token ids, and the same greedy tokens.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { noGrad, tensor, tidy } from "@asvr/torch";
import { afterAll, expect, test } from "vitest";
import type { LlamaForCausalLM } from "../language/llama.js";
import { sourceOf, untrainedRow } from "./fixture.js";
import { exportGguf } from "./gguf.js";
import { hubSource } from "./source.js";

/** What is used of node-llama-cpp, which is no dependency. */
interface LlamaCpp {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      tokenize(text: string, special: boolean): number[];
      createContext(options: object): Promise<{ getSequence(): Sequence }>;
      dispose(): Promise<void>;
    }>;
  }>;
}
interface Sequence {
  evaluate(ids: number[], options: object): AsyncGenerator<number>;
}

const library = process.env.PEER_LLAMA_CPP ?? "node-llama-cpp";
const loaded: LlamaCpp | undefined = await import(library).catch(() => undefined);
const root = mkdtempSync(join(tmpdir(), "asvr-llama-cpp-"));
afterAll(() => rmSync(root, { recursive: true }));
const golden = fileURLToPath(new URL("../../goldens/numerics/hf-llava-tiny", import.meta.url));

const NEW_TOKENS = 16;

test.skipIf(!loaded)(
  "exported language models in llama.cpp (needs node-llama-cpp, or PEER_LLAMA_CPP, the file to import it by)",
  async () => {
    const llama = await loaded!.getLlama({ gpu: false, build: "never", logLevel: "error" });
    using row = untrainedRow();
    using run = sourceOf(row);
    using hub = await hubSource(golden);
    // llama.cpp puts a space before a text for sentencepiece's vocabularies, none for one of words.
    for (const [name, source, space] of [
      ["run", run, " "],
      ["hub", hub, ""],
    ] as const) {
      await exportGguf(source, join(root, name), { name, type: "F32" });
      const model = await llama.loadModel({ modelPath: join(root, name, "language-F32.gguf") });
      const text = name === "run" ? "USER: what at top-left ? ASSISTANT:" : "What is the cat doing in this picture?";
      const ids = source.tokenizer.encode(text);
      expect([name, model.tokenize(space + text, false).filter((id) => id !== 1)]).toEqual([name, ids]);
      const context = await model.createContext({ contextSize: 128, threads: 2 });
      const found: number[] = [];
      const options = { temperature: 0, yieldEogToken: true };
      for await (const id of context.getSequence().evaluate([1, ...ids], options)) {
        if (found.push(id) === NEW_TOKENS) break;
      }
      expect([name, found]).toEqual([name, greedy(source.model.languageModel, [1, ...ids])]);
      await model.dispose();
    }
  },
  120_000,
);

function greedy(model: LlamaForCausalLM, prompt: readonly number[]): number[] {
  const ids = [...prompt];
  while (ids.length < prompt.length + NEW_TOKENS) {
    const next = noGrad(() =>
      tidy(() => {
        const states = model.model.forward(model.embed(tensor([ids]).to("int64")));
        return model.logits(states.select(1, -1)).argmax(-1).item();
      }),
    );
    ids.push(next);
  }
  return ids.slice(prompt.length);
}
