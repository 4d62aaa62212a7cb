// For `demo`: gives the peer the pictures as raw pixels, since Python has no decoder without another package, and some
// samples as asvr reads them, so that the peer can be held against them.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tensor, tidy, writeSafetensors } from "@asvr/torch";
import { buildSamples, decodeImage, loadRecords, type Recipe, TextTokenizer, templates } from "asvr";

interface Options {
  data: string;
  recipe: Recipe;
  pictures: string;
  samples: string;
}

const { data, recipe, pictures, samples } = JSON.parse(process.argv[2]!) as Options;
/** Records of each file that the peer's samples are compared with. */
const COMPARED = 500;
const AT_A_TIME = 32;
const splits = { encoder: "encoder", train: "captions", "test-seen": "test-seen", "test-novel": "test-novel" };
const { imageSize: side, patchSize } = recipe.encoder;

/** uint8 (pictures, side, side, 3), in the order of their numbers */
async function pixelsOf(split: string, recordsFile: string) {
  const records = JSON.parse(await readFile(join(data, `${recordsFile}.json`), "utf8")) as { image: string }[];
  const paths = [...new Set(records.map(({ image }) => image))].sort();
  const pixels = new Uint8Array(paths.length * side * side * 3);
  const decode = async (path: string, index: number) => {
    const number = Number(/(\d+)\.png$/.exec(path)![1]);
    if (number !== index) throw new Error(`${split}: picture ${index} is called ${path}`);
    pixels.set((await decodeImage(join(data, path))).data, index * side * side * 3);
  };
  // Some at a time: decoding runs on threads of its own.
  for (let start = 0; start < paths.length; start += AT_A_TIME) {
    await Promise.all(paths.slice(start, start + AT_A_TIME).map((path, i) => decode(path, start + i)));
  }
  return tensor(pixels, { shape: [paths.length, side, side, 3] });
}

const all = new Map<string, Awaited<ReturnType<typeof pixelsOf>>>();
for (const [split, file] of Object.entries(splits)) all.set(split, await pixelsOf(split, file));
tidy(() => writeSafetensors(pictures, all));

const tokenizer = TextTokenizer.fromFile(join(data, "tokenizer.json"));
const read = async (name: string) => {
  const file = join(data, `${name}.json`);
  const { records } = await loadRecords(file, { imagesFolder: data });
  const imageTokens = name === "text" ? 0 : (side / patchSize) ** 2;
  return records.slice(0, COMPARED).map((record) => {
    // A caption, of a picture or told again, has no question.
    const isCaption = name === "captions" || record.conversations[0]!.value === "";
    const template = isCaption ? templates.plain : templates.micro;
    const options = { file, tokenizer, template, imageTokens, maxLength: 256, imageRef: (key: string) => ({ key }) };
    const [sample] = buildSamples([record], options).samples;
    return { id: sample!.id, inputIds: [...sample!.inputIds], labels: [...sample!.labels] };
  });
};
const compared = { captions: await read("captions"), tuning: await read("tuning"), text: await read("text") };
await writeFile(samples, JSON.stringify(compared));
process.stdout.write(
  `${JSON.stringify({ pictures: [...all.values()].reduce((sum, { shape }) => sum + shape[0]!, 0) })}\n`,
);
