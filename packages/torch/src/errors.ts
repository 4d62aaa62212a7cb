/** libtorch refused an operation. The message begins with the operator and its arguments' shapes and dtypes. */
export class TorchError extends Error {
  override name = "TorchError";
}

/** A tensor was used after it had been freed (by `dispose`, by the end of its `tidy`, or by `using`). */
export class DisposedError extends Error {
  override name = "DisposedError";
}

/** A call was given tensors whose shapes do not go together. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

/** A call was given a dtype that it can't take. */
export class DtypeError extends Error {
  override name = "DtypeError";
}

/** The addon or libtorch could not be loaded; the message says what was tried and what to do. */
export class LoadError extends Error {
  override name = "LoadError";
}

/** A weight file is malformed, or does not fit the module it is loaded into. */
export class CheckpointError extends Error {
  override name = "CheckpointError";
}
