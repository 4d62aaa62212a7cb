import { CheckpointError, type DType, nn, type Tensor } from "@asvr/torch";

export interface LoadOptions {
  /** Default: ASVR_DEVICE, or the CPU. */
  readonly device?: string;
  /** What weights are converted to; "stored" keeps what most of them have in the file. Default float32. */
  readonly dtype?: DType | "stored";
  /** Weights that fit as they are stay in the mapped file, without a copy: for a model that is not trained. */
  readonly adopt?: boolean;
}

/**
 * Builds a module and gives it its weights; the caller frees it. Nothing is left behind when they don't fit.
 * @param weights by the module's own names, all of them
 * @param source the file that messages name
 * @throws CheckpointError that lists every weight that is missing, misshapen or not used; what `build` throws
 */
export function loadModule<Model extends nn.Module>(
  build: () => Model,
  { weights, source, options }: { weights: ReadonlyMap<string, Tensor>; source: string; options: LoadOptions },
): Model {
  const { device, dtype } = options;
  const chosen = dtype === "stored" ? storedDtype(weights.values()) : dtype;
  const creation = { ...(device && { device }), ...(chosen && { dtype: chosen }), initialise: false };
  const model = nn.creating(creation, build);
  try {
    return model.load(weights, { adopt: options.adopt ?? false });
  } catch (error) {
    model.dispose();
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(`${source}: ${error.message}`, { cause: error });
  }
}

/** The dtype of most of the elements. */
function storedDtype(weights: Iterable<Tensor>): DType {
  const elements = new Map<DType, number>([["float32", 0]]);
  for (const { dtype, elementCount } of weights) elements.set(dtype, (elements.get(dtype) ?? 0) + elementCount);
  return [...elements].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0];
}
