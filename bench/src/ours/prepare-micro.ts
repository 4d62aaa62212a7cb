// Writes what `micro-step` and `startup` train on: a small micro world's questions, random features and codes, and the
// weights to begin with. Untrained features cost what trained ones do, and no demo has to have run.
import { join } from "node:path";
import { F, manualSeed, setThreads, tidy, writeSafetensors } from "@asvr/torch";
import {
  buildMicroWorld,
  buildSamples,
  buildVisionLanguageModel,
  loadRecords,
  recipeOf,
  type Sample,
  TextTokenizer,
  templates,
} from "asvr";
import { buildTokenizer, files, type MicroFile, objectiveOf, writeDescribed } from "../micro/files.js";

const PICTURES = 64;
const QUESTIONS = 11; // as the demo has it

const { folder, steps, threads } = JSON.parse(process.argv[2]!) as { folder: string; steps: number; threads: number };
setThreads(threads);

const recipes = { llava: recipeOf("table1", "llava", "micro"), asvr: recipeOf("table1", "asvr", "micro") };
const recipe = recipes.asvr;
const { patchSize, imageSize, hiddenSize } = recipe.encoder;
const imageTokens = (imageSize / patchSize) ** 2;

const data = join(folder, "data");
const sizes = { encoder: 1, text: 1, train: PICTURES, test: 1, novel: 1 };
await buildMicroWorld({ out: data, seed: 0, sizes, questionsPerImage: QUESTIONS });
const tokenizer = TextTokenizer.fromFile(join(data, "tokenizer.json"));
const file = join(data, "tuning.json");
const { records } = await loadRecords(file, { imagesFolder: data });
const template = templates[recipe.stages.tuning.template];
const imageRef = (key: string) => ({ key });
const { samples } = buildSamples(records, { file, tokenizer, template, imageTokens, maxLength: 256, imageRef });

manualSeed(0);
const semantic = buildTokenizer(recipe);
const model = buildVisionLanguageModel(recipe, tokenizer.vocabSize, { semantic, appearance: semantic });
const { depth, codebookSize } = recipe.tokenizers.semantic;
const visual = new Map([
  ["features", tidy(() => F.layerNorm(F.randn([PICTURES, imageTokens, hiddenSize]), [hiddenSize]))],
  ["semantic", tidy(() => F.rand([PICTURES, imageTokens, depth]).mul(codebookSize).floor().to("int16"))],
]);
tidy(() => {
  writeSafetensors(files.model(folder), model.stateDict());
  writeSafetensors(files.semantic(folder), semantic.stateDict());
  writeSafetensors(files.visual(folder), visual);
});

const byPicture = new Map<string, Sample[]>();
for (const sample of samples) {
  const { key } = sample.image!;
  byPicture.set(key, [...(byPicture.get(key) ?? []), sample]);
}
const keys = [...byPicture.keys()];
const objective = objectiveOf(model, recipe, samples, QUESTIONS, keys, visual);
const order = Array.from({ length: steps }, (_, step) =>
  objective.batches(step).flatMap(({ images }) => images.map(({ ref }) => keys.indexOf(ref.key))),
);
const described: MicroFile = {
  recipes,
  vocabSize: tokenizer.vocabSize,
  keys,
  pictures: [...byPicture.values()].map((samples) =>
    samples.map(({ id, inputIds, labels }) => ({ id, inputIds: [...inputIds], labels: [...labels] })),
  ),
  questionsPerImage: QUESTIONS,
  order,
};
await writeDescribed(folder, described);
const [batch] = objective.batches(0);
process.stdout.write(`${JSON.stringify({ rows: batch!.rows, tokens: batch!.tokenCount })}\n`);
