import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Preprocessing } from "../data/preprocess.js";
import type { Resampling } from "../data/resize.js";
import { ConfigError } from "../errors.js";
import { type ConfigPlace, count, fieldAt, parseConfig, readConfig } from "./config-place.js";

const channels = z.tuple([z.number(), z.number(), z.number()]);
const size = z.union([count, z.object({ height: count, width: count }), z.object({ shortest_edge: count })]);

const schema = z.looseObject({
  image_processor_type: z.string().optional(),
  do_resize: z.literal(true).default(true),
  size: size.optional(),
  crop_size: size.optional(),
  do_center_crop: z.boolean().optional(),
  do_pad: z.boolean().optional(),
  do_rescale: z.literal(true).default(true),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  do_normalize: z.literal(true).default(true),
  image_mean: channels,
  image_std: channels,
  resample: z.int().default(3),
});

/** Pillow's numbers of the filters that are here. */
const resamplings: Readonly<Record<number, Resampling>> = { 2: "bilinear", 3: "bicubic" };

/** Of these null is not absence: Hugging Face's code leaves the step out, or fails. */
const neverNull = ["do_resize", "do_rescale", "do_normalize", "size", "resample"] as const;

/**
 * Reads Hugging Face's `preprocessor_config.json` of a LLaVA: how a picture becomes its tower's square.
 * @throws ConfigError that names file and field, for a step that can't be done here, and for a square that isn't the
 * tower's
 */
export function preprocessing(
  config: Readonly<Record<string, unknown>>,
  imageSize: number,
  place: ConfigPlace = { file: "preprocessor_config.json" },
): Preprocessing {
  const unset = neverNull.find((key) => config[key] === null);
  if (unset !== undefined) {
    throw new ConfigError(
      `${fieldAt(place, unset)} is null: this build leaves no step out. Say what it is, or delete the line.`,
    );
  }
  const hub = parseConfig(schema, config, place);
  const { image_mean: mean, image_std: std } = hub;
  const resampling = resamplings[hub.resample];
  if (!resampling) {
    throw new ConfigError(
      `${fieldAt(place, "resample")} is ${hub.resample}; this build has 2 (bilinear) and 3 (bicubic)`,
    );
  }
  if (Math.abs(hub.rescale_factor * 255 - 1) > 1e-6) {
    throw new ConfigError(`${fieldAt(place, "rescale_factor")} is ${hub.rescale_factor}; expected 1/255`);
  }
  const isSiglip = hub.image_processor_type?.startsWith("Siglip") ?? false;
  const crops = hub.do_center_crop ?? !isSiglip;
  const resized = hub.size ?? imageSize;
  const [final, key] = crops && hub.crop_size !== undefined ? [hub.crop_size, "crop_size"] : [resized, "size"];
  if (sideOf(final) !== imageSize) {
    throw new ConfigError(
      `${fieldAt(place, key)} is ${JSON.stringify(final)}, but the vision tower sees squares of ${imageSize} pixels`,
    );
  }
  const common = { size: imageSize, mean, std, resampling };
  // Without a name it is the one of the model's type: a LLaVA's.
  const isLlava = hub.image_processor_type?.startsWith("LlavaImageProcessor") ?? true;
  if (hub.do_pad && isLlava) return { ...common, mode: "pad" };
  if (!crops || (typeof resized === "object" && "height" in resized)) return { ...common, mode: "resize" };
  return { ...common, mode: "crop", shortestEdge: sideOf(resized) };
}

/** Reads that file of a checkpoint's folder. @throws ConfigError also when it is not there */
export function readPreprocessing(folder: string, imageSize: number): Preprocessing {
  const file = join(folder, "preprocessor_config.json");
  if (existsSync(file)) return preprocessing(readConfig(file), imageSize, { file });
  const processor = join(folder, "processor_config.json");
  const inside = existsSync(processor) ? readConfig(processor).image_processor : undefined;
  if (typeof inside === "object" && inside !== null) {
    const place = { file: processor, field: "image_processor" };
    return preprocessing(inside as Record<string, unknown>, imageSize, place);
  }
  throw new ConfigError(
    `${folder} has no preprocessor_config.json: it says how pictures are resized and normalised, and comes with every published LLaVA`,
  );
}

function sideOf(value: z.infer<typeof size>): number {
  if (typeof value === "number") return value;
  if ("shortest_edge" in value) return value.shortest_edge;
  return value.height === value.width ? value.height : Number.NaN;
}
