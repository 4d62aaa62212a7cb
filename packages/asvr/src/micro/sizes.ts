/** Pictures a split; `text` counts scenes that are only told. */
export interface MicroSizes {
  readonly encoder: number;
  readonly text: number;
  readonly train: number;
  readonly test: number;
  readonly novel: number;
}

export const DEFAULT_MICRO_SIZES: MicroSizes = { encoder: 6000, text: 8000, train: 6000, test: 1000, novel: 500 };
