import type { DType } from "@asvr/torch";

/** Bytes of one element: the number that ends a dtype's name is its bits. */
export function dtypeBytes(dtype: DType): number {
  return dtype === "bool" ? 1 : Number(/\d+$/.exec(dtype)![0]) / 8;
}
