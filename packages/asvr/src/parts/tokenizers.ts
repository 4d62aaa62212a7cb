import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { F, manualSeed, noGrad, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import sharp from "sharp";
import { inBatches, loadPictures } from "../data/picture-set.js";
import { loadRecords } from "../data/records.js";
import { writeJson } from "../files.js";
import { TextTokenizer } from "../language/tokenizer.js";
import { buildAppearanceBranch, buildEncoder, buildSemanticBranch } from "../model/build.js";
import type { Recipe } from "../recipes/recipe.js";
import type { ResidualCodes, TokenizerSummary } from "../runs/run-folder.js";
import type { AppearanceBranch } from "../tokenizers/appearance-branch.js";
import { codeUsage } from "../tokenizers/residual-quantizer.js";
import type { SemanticBranch } from "../tokenizers/semantic-branch.js";
import { TextAlignedBranch } from "../tokenizers/text-aligned-branch.js";
import type { VisualTokenizer } from "../tokenizers/visual-tokenizer.js";
import type { Objective } from "../training/objective.js";
import { ContrastiveObjective } from "../training/objectives/encoder.js";
import { PicturesObjective } from "../training/objectives/pictures.js";
import { train } from "../training/trainer.js";
import type { SiglipVisionTower } from "../vision/siglip.js";
import { continuousInput, encodeOnce, joined } from "./codes.js";
import type { TokenizersSettings } from "./identity.js";
import { files, layout, microPreprocessing } from "./layout.js";
import { loadWeights } from "./load.js";
import { type PartContext, trainOptions } from "./part.js";
import { type Looked, probeScenes } from "./probes.js";
import { studyRecipe } from "./settings.js";
import { buildTextTower, readViews } from "./views.js";

/** Pictures that the tokenizers learn from and are measured on, and how many of them the report shows. */
const PICTURES = 4000;
const SHOWN = 8;

interface Branches {
  semantic: SemanticBranch | TextAlignedBranch;
  appearance: AppearanceBranch;
}

/**
 * Trains the semantic and the appearance tokenizer on the frozen encoder's features, and measures both. Those of a share
 * of the pictures see each as often, and are measured on all of them.
 */
export async function trainTokenizers(
  context: PartContext,
  described: TokenizersSettings,
  { encoder: encoderFolder, out }: { encoder: string; out: string },
): Promise<string> {
  const { folder, settings } = context;
  const share = described.tokenizers.dataShare ?? 1;
  await mkdir(join(out, "pictures"), { recursive: true });

  const { records } = await loadRecords(join(layout.data(folder), "captions.json"), {
    imagesFolder: layout.data(folder),
  });
  const used = records.slice(0, PICTURES);
  const paths = used.map(({ image }) => image!);
  const captions = used.map(({ conversations }) => conversations[1]!.value);
  const pixelValues = await loadPictures(layout.data(folder), paths, microPreprocessing);
  const learnedFrom = Math.ceil(paths.length * share);

  manualSeed(settings.sharedSeed);
  const encoder = loadWeights(buildEncoder(described), join(encoderFolder, files.encoder)).setTrainable(false);
  const branches = {
    semantic: buildSemanticBranch(described, encoder),
    appearance: buildAppearanceBranch(described, encoder),
  };
  for (const kind of ["semantic", "appearance"] as const) {
    const { steps, batchSize, learningRate } = settings.tokenizers[kind];
    const options = { folder: join(out, kind), stage: kind, stageNumber: 0, seed: settings.sharedSeed };
    const common = { batchSize, seed: settings.sharedSeed };
    const branch = branches[kind];
    const trainOn = <Batch>(objective: Objective<Batch>) =>
      train(objective, trainOptions(context, { ...options, steps: Math.ceil(steps * share), learningRate }));
    if (branch instanceof TextAlignedBranch) {
      const words = TextTokenizer.fromFile(layout.textTokenizer(folder));
      const views = await readViews(context, described.encoder.patchSize, words);
      const text = buildTextTower(described.encoder.hiddenSize, words.vocabSize);
      const used = { ...views, views: ofPictures(views.views, share) };
      await trainOn(new ContrastiveObjective({ vision: branch, text }, used, { ...common, device: context.device }));
      for (const done of [views.patches, text]) done.dispose();
    } else {
      using some = pixelValues.narrow(0, 0, learnedFrom);
      await trainOn(new PicturesObjective(branch, some, common));
    }
    tidy(() => writeSafetensors(join(out, files.tokenizer(kind)), branch.stateDict()));
  }

  const { semantic, appearance } = branches;
  // Features are probed as the study's baseline is given them, whatever rows vary.
  const baseline = studyRecipe(settings);
  const { selectLayer } = baseline.encoder;
  const asRead = { ...baseline, ...described, encoder: { ...described.encoder, selectLayer } };
  const features = (layer: number) => (batch: Tensor) => encoder.hiddenState(batch, layer);
  const summary: TokenizerSummary = {
    semantic: measure(semantic, pixelValues, features(described.tokenizers.semantic.layer), (x) => semantic.prepare(x)),
    appearance: {
      ...measure(appearance, pixelValues, features(described.tokenizers.appearance.layer), (x) =>
        appearance.prepare(x),
      ),
      psnr: psnr(appearance, pixelValues),
    },
    probes: tidy(() => probeScenes(look(branches, encoder, asRead, pixelValues), captions)),
    reconstructions: await drawReconstructions(context, basename(out), { appearance, pixelValues, paths }),
  };
  await writeJson(join(out, "summary.json"), summary);
  for (const owned of [pixelValues, encoder, semantic, appearance]) owned.dispose();
  return `semantic codes used ${summary.semantic.usedCodes.join(", ")} of ${summary.semantic.codebookSize}`;
}

/** Views of the first pictures: a share of them. */
function ofPictures<View extends { picture: number }>(views: readonly View[], share: number): View[] {
  const pictures = new Set(views.map(({ picture }) => picture)).size;
  return views.filter(({ picture }) => picture < Math.ceil(pictures * share));
}

/** What the language model is given of pictures, and what both tokenizers make of them. */
function look(branches: Branches, encoder: SiglipVisionTower, recipe: Recipe, pixelValues: Tensor): Looked {
  const batches = inBatches(pixelValues, 500, (batch) => encodeOnce({ encoder, ...branches }, recipe, batch));
  const { features, ...codes } = joined(batches);
  const vectors = (kind: keyof Branches) => {
    const branch = branches[kind];
    const wide = codes[kind].to("int64");
    const vectors = branch.embed(wide).select(-2, branch.depth - 1);
    return { codes: wide, vectors, codebookSize: branch.codebookSize };
  };
  return {
    features: continuousInput(recipe, features),
    semantic: vectors("semantic"),
    appearance: vectors("appearance"),
  };
}

/** How much of its codebooks a tokenizer uses, and what share of its input's variance is left after each depth. */
function measure(
  tokenizer: VisualTokenizer,
  pixelValues: Tensor,
  features: (batch: Tensor) => Tensor,
  prepare: (features: Tensor) => Tensor,
): ResidualCodes {
  const { depth, codebookSize } = tokenizer;
  const totals = { error: Array<number>(depth).fill(0), variance: 0 };
  const codes = inBatches(pixelValues, 500, (batch) => {
    const input = prepare(features(batch));
    const found = tokenizer.encode(batch);
    const cumulative = tokenizer.embed(found); // (batch, positions, D, dim)
    const centred = input.sub(input.mean([0, 1], true));
    totals.variance += centred.square().sum().item();
    for (let d = 0; d < depth; d++) totals.error[d]! += input.sub(cumulative.select(-2, d)).square().sum().item();
    return found;
  });
  const usedCodes = tidy(() => codeUsage(F.cat(codes), codebookSize).map(({ used }) => used));
  for (const part of codes) part.dispose();
  return { codebookSize, depth, usedCodes, relativeError: totals.error.map((error) => error / totals.variance) };
}

/** Of pictures decoded from their codes; pixels lie in [-1, 1], so the peak is 2. */
function psnr(appearance: AppearanceBranch, pixelValues: Tensor): number {
  return noGrad(() =>
    tidy(() => {
      const some = pixelValues.narrow(0, 0, Math.min(500, pixelValues.size(0)));
      const error = appearance.reconstruct(appearance.encode(some)).mseLoss(some).item();
      return 10 * Math.log10(4 / error);
    }),
  );
}

async function drawReconstructions(
  { folder }: PartContext,
  part: string,
  { appearance, pixelValues, paths }: { appearance: AppearanceBranch; pixelValues: Tensor; paths: readonly string[] },
): Promise<TokenizerSummary["reconstructions"]> {
  const count = Math.min(SHOWN, paths.length);
  const bytes = noGrad(() =>
    tidy(() => {
      const decoded = appearance.reconstruct(appearance.encode(pixelValues.narrow(0, 0, count)));
      const rows = decoded.add(1).mul(127.5).round().clamp(0, 255).permute([0, 2, 3, 1]).contiguous();
      return rows.to("uint8").data() as Uint8Array;
    }),
  );
  const { size } = microPreprocessing;
  const shown: TokenizerSummary["reconstructions"] = [];
  for (let i = 0; i < count; i++) {
    const file = `${part}/pictures/${i}.png`;
    const pixels = bytes.subarray(i * size * size * 3, (i + 1) * size * size * 3);
    await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
      .png()
      .toFile(join(folder, file));
    shown.push({ original: `data/${paths[i]!}`, appearance: file });
  }
  return shown;
}
