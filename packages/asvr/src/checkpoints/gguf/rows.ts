import type { Tensor } from "@asvr/torch";

// Rotary embedding turns pairs. Hugging Face's models pair row i of a head with row i + headDim/2, llama.cpp's `llama`
// row 2i with row 2i + 1, and its files have the rows in that order. Any further dimensions (none for a bias) stay.

/** From llama.cpp's order of rows to Hugging Face's. (heads · headDim, …) -> same */
export function halvesFromPairs(rows: Tensor, headDim: number): Tensor {
  return swapped(rows, [-1, headDim / 2, 2]);
}

/** From Hugging Face's order of rows to llama.cpp's. (heads · headDim, …) -> same */
export function pairsFromHalves(rows: Tensor, headDim: number): Tensor {
  return swapped(rows, [-1, 2, headDim / 2]);
}

function swapped(rows: Tensor, split: readonly number[]): Tensor {
  const { shape } = rows;
  return rows
    .reshape([...split, ...shape.slice(1)])
    .transpose(1, 2)
    .reshape(shape);
}
