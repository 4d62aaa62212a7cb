import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { readDataset } from "../data/dataset.js";
import { countBad, countKinds, foldFaults } from "../data/faults.js";
import { decodeImage } from "../data/images.js";
import { readRecords } from "../data/records.js";
import { ConfigError } from "../errors.js";
import type { Fault } from "../fault.js";
import { templates } from "../language/conversation.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { buildTokenizer, buildTokenizerConfig } from "../micro/tokenizer.js";
import { MOST_NEW_WORDS, withWords } from "../micro/vocabulary.js";
import { baselines } from "../recipes/baselines.js";
import { interruptSignal, printJson } from "./options.js";
import { print } from "./printable.js";
import { progressDisplay } from "./progress.js";

export interface CheckOptions {
  images?: string;
  maxLength: number;
  maxBad: number;
  json: boolean;
}

const { encoder } = baselines.micro;
const imageTokens = Math.floor(encoder.imageSize / encoder.patchSize) ** 2;

/** Prints what is wrong with records and pictures; the exit status says whether it is too much. */
export async function checkData(file: string, { images, maxLength, maxBad, json }: CheckOptions): Promise<void> {
  for (const path of [file, images]) {
    if (path !== undefined && !existsSync(path)) throw new ConfigError(`${resolve(path)} does not exist`);
  }
  const display = progressDisplay();
  const signal = interruptSignal(display);
  display.start(file);
  const started = performance.now();
  const tokenizer = await tokenizerFor(file, images);
  const found = await readDataset(file, {
    ...(images !== undefined && { imagesFolder: images }),
    samples: { tokenizer, template: templates.micro, imageTokens, maxLength },
    lookAt: async (path) => void (await decodeImage(path)),
    onProgress: (done, total) => display.update(file, { phase: "pictures", done, total }),
    signal,
  });
  display.done(file, (performance.now() - started) / 1000);
  display.close();
  const { total: records, pictures, faults } = found;
  const bad = countBad(faults);
  if (json) printJson({ file, images, records, pictures: pictures.length, bad, faults });
  else print(describe(file, { records, pictures: pictures.length, bad, faults }));
  process.exitCode = bad > maxBad ? 1 : 0;
}

/** As a run on this data would have it: the micro world's words and those of the data. */
async function tokenizerFor(file: string, images: string | undefined): Promise<TextTokenizer> {
  const { records } = await readRecords(file, images === undefined ? {} : { imagesFolder: images });
  const texts = records.flatMap(({ conversations }) => conversations.map(({ value }) => value));
  return new TextTokenizer(withWords(buildTokenizer(), texts, MOST_NEW_WORDS), buildTokenizerConfig());
}

function describe(
  file: string,
  { records, pictures, bad, faults }: { records: number; pictures: number; bad: number; faults: readonly Fault[] },
): string {
  const lines = foldFaults(faults).map(({ line }) => `${line}\n`);
  const summary = bad === 0 ? "nothing is wrong" : `${bad} are faulty (${countKinds(faults)})`;
  return `${lines.join("")}${file}: ${records} records, ${pictures} pictures in the good ones; ${summary}\n`;
}
