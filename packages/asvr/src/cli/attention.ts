import { noGrad, setThreads, tensor, tidy } from "@asvr/torch";
import { attentionToPicture } from "../analysis/attention.js";
import { decodeImage } from "../data/images.js";
import { packSamples } from "../data/packing.js";
import { type Preprocessing, preprocess } from "../data/preprocess.js";
import { ConfigError, DataError } from "../errors.js";
import { testQuestion } from "../evaluation/questions.js";
import { templates } from "../language/conversation.js";
import { generate } from "../language/generation.js";
import { visualInputOf } from "../reproduce/parts/codes.js";
import { ownPreprocessing } from "../reproduce/parts/own-pictures.js";
import { readRecipe, studyOf } from "../reproduce/start.js";
import { loadTrainedRow } from "../reproduce/trained-row.js";
import { commandContext } from "./context.js";
import { printJson } from "./options.js";
import { progressDisplay } from "./progress.js";

export interface AttentionOptions {
  image: string;
  question: string;
  json: boolean;
}

/** Darker for more: ten steps. */
const SHADES = " .:-=+*#%@";

/** Prints a trained row's answer to a question, and where its last token looks. */
export async function attention(run: string, { image, question, json }: AttentionOptions): Promise<void> {
  const preprocessing = ownPreprocessing(await readRecipe(run));
  const pixels = await readPicture(image, preprocessing);
  const neverStopped = new AbortController().signal; // it takes a second: Ctrl-C simply ends it
  const context = await commandContext(await studyOf(run), run, progressDisplay(), neverStopped);
  using row = await loadTrainedRow(context, run);
  setThreads(row.recipe.threads);
  const { model, tokenizer, parts, imageTokens, recipe } = row;
  const conversations = [
    { from: "human" as const, value: `<image>\n${question}` },
    { from: "gpt" as const, value: "" },
  ];
  const template = templates[recipe.stages.tuning.template];
  const { prompt } = testQuestion({ id: "question", image, conversations }, tokenizer, template, (key) => ({
    key,
  }));
  const side = Math.sqrt(imageTokens);
  const { answer, map } = noGrad(() =>
    tidy(() => {
      const { size } = preprocessing;
      const features = visualInputOf(
        parts,
        recipe,
        tensor(pixels, { shape: [1, 3, size, size], device: context.device }),
      );
      const options = { imageTokens, device: context.device };
      const capacity = prompt.inputIds.length + imageTokens;
      const packed = packSamples([prompt], { capacity, imageTokens, compact: false });
      const [ids] = generate(model, packed, features, {
        eosId: tokenizer.eosId,
        maxNewTokens: 16,
        device: context.device,
      });
      const decoded = tokenizer.decode(ids!, { skipSpecialTokens: true }).trim();
      return { answer: decoded, map: attentionToPicture(model, prompt, features, options) };
    }),
  );
  if (json) printJson({ run, image, question, answer, grid: [side, side], attention: map.mean, byLayer: map.byLayer });
  else process.stdout.write(`${question} ${answer}\n${draw(map.mean, side)}`);
}

/** @throws ConfigError for a file that is no picture: the call was wrong */
async function readPicture(file: string, preprocessing: Preprocessing): Promise<Float32Array> {
  try {
    return preprocess(await decodeImage(file), preprocessing);
  } catch (error) {
    if (error instanceof DataError) throw new ConfigError(`--image ${error.message}`, { cause: error });
    throw error;
  }
}

function draw(attention: readonly number[], side: number): string {
  const most = Math.max(...attention);
  const cell = (value: number) =>
    SHADES[Math.min(SHADES.length - 1, Math.floor((value / most) * SHADES.length))]!.repeat(4);
  const rows = Array.from({ length: side }, (_, row) => attention.slice(row * side, (row + 1) * side));
  return rows.map((row) => `${row.map(cell).join("")}\n`.repeat(2)).join("");
}
