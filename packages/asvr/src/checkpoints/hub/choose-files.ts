/** A file of a repository, as far as choosing needs it. */
export interface RepositoryFile {
  readonly path: string;
  readonly size: number;
}

/** Configurations, tokenizers and templates lie at the top of a repository, and are small. */
const descriptions = /^[^/]+\.(?:json|jinja|model|txt)$/;
const safetensors = /^[^/]+\.safetensors$/;
const torchFiles = /^[^/]+\.(?:bin|pt|pth)$/;
/** Files that hold the weights once more, in another cut or for another framework. */
const others = /^(?:consolidated|original|flax_model|tf_model|rust_model|training_args|optimizer|scheduler|rng_state)/;

/**
 * What a model is loaded from: configurations, tokenizer files, and weights once: as safetensors where the repository has
 * them, else as files of torch.save. Folders inside it, and weights for other frameworks, stay where they are.
 */
export function filesToFetch<File extends RepositoryFile>(files: readonly File[]): File[] {
  const wanted = files.filter(({ path }) => !others.test(path));
  const weights = [safetensors, torchFiles]
    .map((kind) => wanted.filter(({ path }) => kind.test(path)))
    .find((found) => found.length > 0);
  const isUnusedIndex = (path: string) =>
    path.endsWith(".bin.index.json") && weights?.some((file) => safetensors.test(file.path));
  const described = wanted.filter(({ path }) => descriptions.test(path) && !isUnusedIndex(path));
  return [...described, ...(weights ?? [])];
}
