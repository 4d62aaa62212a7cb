// Exported language model and mmproj, run by llama.cpp on a picture: the same probabilities of the next token.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { noGrad, tensor, tidy } from "@asvr/torch";
import sharp from "sharp";
import { afterAll, expect, test } from "vitest";
import { encodeSpans, renderConversation, templates } from "../language/conversation.js";
import { Llava } from "../model/llava.js";
import { Random } from "../random.js";
import { sourceOf, untrainedRow } from "./fixture.js";
import { exportGguf } from "./gguf.js";
import { type ExportSource, hubSource } from "./source.js";

const library = process.env.PEER_LLAMA_NODE ?? "@fugood/llama.node";
const isThere = spawnSync(process.execPath, ["--input-type=module", "-e", `await import("${library}")`]).status === 0;
const root = mkdtempSync(join(tmpdir(), "asvr-llama-node-"));
afterAll(() => rmSync(root, { recursive: true }));
const golden = fileURLToPath(new URL("../../goldens/numerics/hf-llava-tiny", import.meta.url));

const MOST_PROBABLE = 20;
const before = "USER: ";
const after = "what at top-left ? ASSISTANT:";

test.skipIf(!isThere)(
  "pictures in llama.cpp by an exported mmproj (needs @fugood/llama.node, or PEER_LLAMA_NODE, the file to import it by)",
  async () => {
    using row = untrainedRow();
    using run = sourceOf(row);
    using hub = await hubSource(golden);
    for (const [name, source] of [
      ["run", run],
      ["hub", hub],
    ] as const) {
      const folder = join(root, name);
      await exportGguf(source, folder, { name, type: "F32" });
      const found: number[][] = [];
      const expected: number[][] = [];
      for (const seed of [1, 2]) {
        const picture = await noise(source, seed);
        const { texts, probabilities } = theirs(folder, picture.file);
        found.push(probabilities);
        expected.push(ours(source, [1, ...texts[0]!], picture.pixels, texts[1]!));
      }
      const own = Math.max(difference(found[0]!, expected[0]!), difference(found[1]!, expected[1]!));
      // The pictures decide about the answer, and both see the same in them, but for the form of GELU.
      expect([name, own < 0.1 * difference(expected[0]!, expected[1]!)]).toEqual([name, true]);
    }
  },
  120_000,
);

const chatScript = `
import { writeFileSync } from "node:fs";
const [library, folder, content] = process.argv.slice(1);
const { loadModel } = await import(library);
const context = await loadModel({ model: folder + "/language-F32.gguf", n_ctx: 128, n_threads: 2, n_gpu_layers: 0 });
const { prompt } = await context.getFormattedChat([{ role: "user", content }], undefined, { jinja: true });
const { tokens } = await context.tokenize(prompt);
writeFileSync(folder + "/chat.json", JSON.stringify({ prompt, tokens: [...tokens] }));
`;

test.skipIf(!isThere)(
  "the chat template of a run in llama.cpp: the ids that the run has (needs @fugood/llama.node, or PEER_LLAMA_NODE)",
  async () => {
    for (const template of ["micro", "v1"] as const) {
      using row = untrainedRow({ stages: { tuning: { template } } });
      using source = sourceOf(row);
      const folder = join(root, `chat-${template}`);
      await exportGguf(source, folder, { name: template, type: "F32" });
      const content = "what at top-left ?\nwhere drum ?";
      const given = ["--input-type=module", "-e", chatScript, library, folder, content];
      const { status, stderr } = spawnSync(process.execPath, given);
      expect([status, status === 0 ? "" : String(stderr)]).toEqual([0, ""]);
      const found = JSON.parse(readFileSync(join(folder, "chat.json"), "utf8")) as { prompt: string; tokens: number[] };
      const spans = renderConversation(templates[template], [{ from: "human", value: content }]);
      const { inputIds } = encodeSpans(row.tokenizer, spans);
      expect([template, found.tokens]).toEqual([template, inputIds.slice(row.tokenizer.startIds.length)]);
    }
  },
  120_000,
);

/** A picture of the size that the tower takes: no two libraries resize alike. */
async function noise({ model }: ExportSource, seed: number): Promise<{ file: string; pixels: Float32Array }> {
  const { imageSize: size } = model.config.vision.config;
  const random = new Random(seed);
  const data = Uint8Array.from({ length: size * size * 3 }, (_, at) => random.int(64) + 64 * ((at + seed) % 3));
  const file = join(root, `${size}-${seed}.png`);
  const raw = { width: size, height: size, channels: 3 } as const;
  await sharp(data, { raw }).png().toFile(file);
  const pixels = Float32Array.from({ length: data.length }, (_, at) => {
    const [channel, position] = [Math.floor(at / size ** 2), at % size ** 2];
    return data[position * 3 + channel]! / 255;
  });
  return { file, pixels };
}

const script = `
import { writeFileSync } from "node:fs";
const [library, folder, file, before, after, count] = process.argv.slice(1);
const { loadModel } = await import(library);
const exact = { flash_attn_type: "off", cache_type_k: "f32", cache_type_v: "f32" };
const model = folder + "/language-F32.gguf";
const context = await loadModel({ model, n_ctx: 128, n_threads: 2, n_gpu_layers: 0, ...exact });
if (!context.initMultimodal({ path: folder + "/mmproj-F32.gguf", use_gpu: false })) process.exit(1);
const texts = [];
for (const text of [before, after]) texts.push([...(await context.tokenize(text)).tokens]);
const sampling = { temperature: 1, top_k: 0, top_p: 1, min_p: 0, seed: 1, n_predict: 1, n_probs: Number(count) };
const prompt = before + "<__media__>" + after;
const result = await context.completion({ prompt, media_paths: [file], ...sampling });
const probabilities = result.completion_probabilities[0].probs.map(({ prob }) => prob);
writeFileSync(folder + "/found.json", JSON.stringify({ texts, probabilities }));
`;

/** The ids of both texts, and the highest probabilities of what follows. */
function theirs(folder: string, file: string): { texts: number[][]; probabilities: number[] } {
  const given = [library, folder, file, before, after, String(MOST_PROBABLE)];
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script, ...given]);
  expect([status, status === 0 ? "" : String(stderr)]).toEqual([0, ""]);
  const found = JSON.parse(readFileSync(join(folder, "found.json"), "utf8")) as ReturnType<typeof theirs>;
  return { ...found, probabilities: found.probabilities.sort((a, b) => b - a) };
}

/** The same of our own model. */
function ours(
  { model, files }: ExportSource,
  first: readonly number[],
  pixels: Float32Array,
  last: readonly number[],
): number[] {
  if (!(model instanceof Llava)) throw new Error("a LLaVA is expected");
  return noGrad(() =>
    tidy(() => {
      const { imageSize: size } = model.config.vision.config;
      const processor = JSON.parse(String(files.get("preprocessor_config.json"))) as Record<string, number[]>;
      const [mean, std] = ["image_mean", "image_std"].map((key) => tensor(processor[key]!, { shape: [1, 3, 1, 1] }));
      const seen = tensor(pixels, { shape: [1, 3, size, size] })
        .sub(mean!)
        .div(std!);
      const picture = Array<number>(model.features.positions).fill(model.config.imageTokenId);
      const states = model.forward(tensor([[...first, ...picture, ...last]]).to("int64"), seen);
      const [highest] = model.logits(states.select(1, -1)).softmax(-1).topk(MOST_PROBABLE);
      return highest.toNumbers();
    }),
  );
}

function difference(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, at) => Math.abs(value - b[at]!)));
}
