import { z } from "zod";
import { ConfigError } from "../errors.js";

const count = z.number().int().positive();

const beta = z.number().min(0).lt(1);

/** AdamW with a cosine schedule; the authors' settings are the defaults. */
const optimization = z.strictObject({
  steps: count,
  /** Samples of a step; a picture with all its questions is one sample where the prefix is shared. */
  batchSize: count,
  learningRate: z.number().positive(),
  warmupRatio: z.number().min(0).max(1).default(0.03),
  betas: z.tuple([beta, beta]).default([0.9, 0.999]),
  weightDecay: z.number().min(0).default(0),
  maxGradNorm: z.number().positive().default(1),
});
export interface Optimization extends z.infer<typeof optimization> {}

/** How a part of the model learns where it differs from the rest of its stage. */
const group = z.strictObject({
  learningRate: z.number().positive().optional(),
  weightDecay: z.number().min(0).optional(),
});

const stage = optimization.extend({
  /** What the optimizer moves in this stage; the rest is frozen. */
  trainable: z.array(z.enum(["projector", "visualHead", "language"])).min(1),
  /** Learning rate and weight decay by part; left out: those of the stage. */
  groups: z
    .strictObject({ projector: group.optional(), visualHead: group.optional(), language: group.optional() })
    .optional(),
  /** Which records: captions, or questions and answers. */
  data: z.enum(["captions", "tuning"]),
  template: z.enum(["plain", "v1", "micro", "smollm2"]),
  /** Whether L_vision counts in this stage (Table 8: tuning only). */
  supervised: z.boolean().default(true),
  /** Published records by name, where they are not the embedded world's. */
  dataset: z.string().optional(),
});
export interface Stage extends z.infer<typeof stage> {}

const language = z.strictObject({
  hiddenSize: count,
  intermediateSize: count,
  numHiddenLayers: count,
  numAttentionHeads: count,
  numKeyValueHeads: count,
  ropeTheta: z.number().default(10_000),
  rmsNormEps: z.number().default(1e-5),
  tieWordEmbeddings: z.boolean(),
  /** Which language model this is: a published one, or in a study one of its own beside the study's. */
  backbone: z
    .string()
    .regex(/^[\w.-]+$/)
    .optional(),
});

const encoder = z.strictObject({
  imageSize: count,
  patchSize: count,
  hiddenSize: count,
  intermediateSize: count,
  numHiddenLayers: count,
  numAttentionHeads: count,
  /** Hidden state that the language model reads, counted from the end: -2 is the second-last layer's output. */
  selectLayer: z.number().int().negative(),
  /** Published weights. */
  checkpoint: z.string().optional(),
  /** AnyRes: a picture is so many tiles wide and high, and is shown as a whole besides. */
  tilesAside: count.optional(),
});

const tokenizer = z.strictObject({
  depth: count,
  codebookSize: count,
  codeDim: count,
  /** Index of the encoder's hidden state that is quantized. */
  layer: z.number().int(),
  /** One codebook for all depths, as in the released tokenizers, or one for each. */
  sharedCodebook: z.boolean(),
});

const semanticTokenizer = tokenizer.extend({
  /** The encoder's features alone, or text too: a contrastive loss through the codes. */
  learnedFrom: z.enum(["features", "text"]).default("features"),
  /** Published weights, and with them whose features are quantized. */
  checkpoint: z.string().optional(),
});

const tokenizers = z.strictObject({
  semantic: semanticTokenizer,
  appearance: tokenizer,
  /** Share of the pictures that a study's tokenizers learn from; left out: all. */
  dataShare: z.number().positive().max(1).optional(),
});

const visualHead = z
  .strictObject({ embedDim: count, headDim: count, layers: count })
  .refine(({ embedDim, headDim }) => embedDim % headDim === 0, "embedDim must be a multiple of headDim");

const supervision = z
  .strictObject({
    kind: z.enum(["none", "semantic", "appearance", "dual", "control", "denoising"]),
    /** Of kind "denoising" (ROSS): whose features of the picture are denoised. */
    denoises: z.enum(["vae", "siglip"]).optional(),
    /** "same": hidden state i predicts the codes of position i (authors' code); "next": Eq. 2 as printed. */
    alignment: z.enum(["same", "next"]),
    /** Of L_vision in L = L_text + weight · L_vision; the paper's is 1. */
    weight: z.number().positive(),
  })
  .refine(({ kind, denoises }) => denoises === undefined || kind === "denoising", "denoises is of the kind denoising");
export interface SupervisionSettings extends z.infer<typeof supervision> {}

const data = z.strictObject({
  /** LLaVA-format files of captions and of questions in the place of the study's own; null: the study's. */
  captions: z.string().nullable().default(null),
  tuning: z.string().nullable().default(null),
  /** Folder of their pictures. */
  images: z.string().nullable().default(null),
  /** Most tokens of a record, the visual ones counted. */
  maxLength: count.default(2048),
  /** How a picture of any shape becomes the encoder's square: with a margin of the mean colour, or stretched. */
  fit: z.enum(["pad", "stretch"]).default("pad"),
  /** Share of the study's training pictures; left out: all. */
  share: z.number().positive().max(1).optional(),
});
export interface DataSettings extends z.infer<typeof data> {}

export const recipeSchema = z.strictObject({
  /** `tableN/ROW` */
  name: z.string().regex(/^[\w-]+\/[\w.-]+$/),
  title: z.string(),
  /** Where its settings come from. */
  source: z.string(),
  scale: z.enum(["micro", "small", "paper"]),
  visualInput: z.enum(["continuous", "discrete"]),
  /**
   * Whether each feature is brought to mean 0 and variance 1 before the projector, as the micro scale does. LLaVA does
   * not, and its published formats have no place for it. Runs from before there was a choice did.
   */
  normaliseFeatures: z.boolean().default(true),
  encoder,
  tokenizers,
  language,
  visualHead,
  supervision,
  stages: z.strictObject({
    pretraining: stage,
    /** Between the two, of the paper's largest data alone. */
    middle: stage.optional(),
    tuning: stage,
  }),
  data: data.prefault({}),
  /**
   * Where training begins, outside of a study: the folder of a study, for its encoder, tokenizers and text-only
   * language model; or of a run, whose model goes on in the tuning stage.
   */
  startFrom: z.string().nullable().default(null),
  /** Draws initialisations and the order of the data. */
  seed: z.number().int().nonnegative(),
  /** Threads that one operator uses: results are equal to the bit only where they are. */
  threads: count.max(1024),
});

/** A whole experiment as a typed value: everything needed to run it again, but for the data. */
export interface Recipe extends z.infer<typeof recipeSchema> {}
export type RecipeInput = z.input<typeof recipeSchema>;

/** Checks a recipe and fills in defaults. @throws ConfigError that names every wrong or unknown setting */
export function defineRecipe(input: RecipeInput): Recipe {
  const result = recipeSchema.safeParse(input);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ConfigError(`recipe ${JSON.stringify(input.name)}: ${problems.join("; ")}`);
}

/** How one recipe differs from another. */
export type Difference = DeepPartial<RecipeInput>;

type DeepPartial<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

/** Another recipe, by its difference: objects are merged, everything else is replaced. */
export function derive(base: Recipe, difference: Difference): Recipe {
  return defineRecipe(merge(base, difference) as RecipeInput);
}

function merge(base: unknown, difference: unknown): unknown {
  if (!isObject(base) || !isObject(difference)) return difference === undefined ? base : difference;
  const keys = new Set([...Object.keys(base), ...Object.keys(difference)]);
  return Object.fromEntries([...keys].map((key) => [key, merge(base[key], difference[key])]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Overrides one setting by its path, as `--set stages.tuning.steps=400`. The value is read as JSON, or as a string.
 * @throws ConfigError for a path that the recipe does not have
 */
export function override(recipe: Recipe, assignment: string): Recipe {
  const [path, ...rest] = assignment.split("=");
  if (!path || rest.length === 0) throw new ConfigError(`--set ${assignment}: write it as path=value`);
  const keys = path.split(".");
  let place: unknown = recipeSchema;
  for (const [depth, key] of keys.entries()) {
    const known = fieldsOf(place);
    if (!Object.hasOwn(known, key)) {
      const has = Object.keys(known).join(", ") || "nothing";
      throw new ConfigError(
        `--set ${path}: ${keys.slice(0, depth).join(".") || "the recipe"} has no "${key}"; it has ${has}`,
      );
    }
    place = known[key];
  }
  const difference = keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), parseValue(rest.join("=")));
  return derive(recipe, difference as Difference);
}

/** What can be set inside a setting: the schema says it, as a recipe has only those optional ones that are set. */
function fieldsOf(schema: unknown): Readonly<Record<string, unknown>> {
  let inner = schema;
  while (
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodNullable ||
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault
  ) {
    inner = inner.unwrap();
  }
  return inner instanceof z.ZodObject ? inner.shape : {};
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
