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
  const model = built(build, creation, { weights, source });
  try {
    return model.load(weights, { adopt: options.adopt ?? false });
  } catch (error) {
    model.dispose();
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(`${source}: ${error.message}`, { cause: error });
  }
}

/**
 * What a configuration claims is not made where the weights hold far less: layers, widths and vocabularies of any size
 * can be written into a file. A little more than there is may be asked for: then `load` lists what is missing.
 */
function built<Model extends nn.Module>(
  build: () => Model,
  creation: Partial<nn.CreationOptions>,
  { weights, source }: { weights: ReadonlyMap<string, Tensor>; source: string },
): Model {
  const elements = [...weights.values()].reduce((sum, { elementCount }) => sum + elementCount, 0);
  const most = { parameters: 2 * weights.size + 100, elements: 2 * elements + (1 << 20) };
  try {
    return nn.creating({ ...creation, most }, build);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    throw new CheckpointError(
      `${source} holds ${weights.size} weights of ${elements} numbers together, but by its configuration ${error.message}. ` +
        "Compare the configuration's layers, widths and vocabulary with the weights.",
      { cause: error },
    );
  }
}

/** The dtype of most of the elements. */
function storedDtype(weights: Iterable<Tensor>): DType {
  const elements = new Map<DType, number>([["float32", 0]]);
  for (const { dtype, elementCount } of weights) elements.set(dtype, (elements.get(dtype) ?? 0) + elementCount);
  return [...elements].reduce((most, entry) => (entry[1] > most[1] ? entry : most))[0];
}
