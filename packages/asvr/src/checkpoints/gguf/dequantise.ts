import { call, F, type Tensor } from "@asvr/torch";

// The numbers of ggml's blocks. Each function takes blocks as their bytes, uint8 (blocks, bytes), and gives their
// elements, float32 (blocks, elements), computed in float32 with every product rounded before it is added: bit for bit
// what ggml's own plain loops give.

type Decode = (blocks: Tensor) => Tensor;

/** By the name of the type. Other types can be listed, not read. */
export const decoders: Readonly<Record<string, Decode>> = {
  F32: (blocks) => blocks.bitcast("float32"),
  F16: (blocks) => half(blocks),
  BF16: (blocks) => blocks.bitcast("bfloat16").to("float32"),
  F64: (blocks) => blocks.bitcast("float64").to("float32"),
  Q4_0: (blocks) => scaled(nibbles(bytes(blocks, 2, 16)).sub(8), half(bytes(blocks, 0, 2))),
  Q4_1: (blocks) =>
    scaled(nibbles(bytes(blocks, 4, 16)).to("float32"), half(bytes(blocks, 0, 2))).add_(half(bytes(blocks, 2, 2))),
  Q5_0: (blocks) => scaled(fives(bytes(blocks, 2, 4), bytes(blocks, 6, 16)).sub(16), half(bytes(blocks, 0, 2))),
  Q5_1: (blocks) =>
    scaled(fives(bytes(blocks, 4, 4), bytes(blocks, 8, 16)).to("float32"), half(bytes(blocks, 0, 2))).add_(
      half(bytes(blocks, 2, 2)),
    ),
  Q8_0: (blocks) => scaled(bytes(blocks, 2, 32).bitcast("int8").to("float32"), half(bytes(blocks, 0, 2))),
  Q2_K: (blocks) => {
    const scales = bytes(blocks, 0, 16); // low nibble: scale, high nibble: minimum, of 16 elements each
    const scale = half(bytes(blocks, 80, 2))
      .mul(and(scales, 15).to("float32"))
      .unsqueeze(-1);
    const minimum = half(bytes(blocks, 82, 2))
      .mul(shiftRight(scales, 4).to("float32"))
      .unsqueeze(-1);
    return scale
      .mul(pairsOfBits(bytes(blocks, 16, 64)).to("float32"))
      .sub_(minimum)
      .flatten(1);
  },
  Q3_K: (blocks) => {
    const lacksHighBit = bits(bytes(blocks, 0, 32))
      .logicalNot()
      .mul(4); // (blocks, 8, 32)
    const low = pairsOfBits(bytes(blocks, 32, 64)).to("float32");
    const scale = half(bytes(blocks, 108, 2))
      .mul(sixteenScales(bytes(blocks, 96, 12)))
      .unsqueeze(-1);
    return scale.mul(low.sub(lacksHighBit.view([-1, 16, 16]))).flatten(1);
  },
  Q4_K: (blocks) => {
    const values = nibbles(bytes(blocks, 16, 128).reshape([-1, 32])).view([-1, 8, 32]);
    return withMinimum(blocks, values.to("float32"));
  },
  Q5_K: (blocks) => {
    const low = nibbles(bytes(blocks, 48, 128).reshape([-1, 32])).view([-1, 8, 32]);
    const high = bits(bytes(blocks, 16, 32)).mul(16);
    return withMinimum(blocks, low.add(high).to("float32"));
  },
  Q6_K: (blocks) => {
    const low = bytes(blocks, 0, 128).reshape([-1, 2, 64]);
    const lowBits = F.stack([and(low, 15), shiftRight(low, 4)], 2); // (blocks, 2, 2, 64)
    const high = bytes(blocks, 128, 64).reshape([-1, 2, 1, 32]);
    const highBits = F.cat(
      [0, 2, 4, 6].map((by) => and(shiftRight(high, by), 3)),
      2,
    ).mul(16); // (blocks, 2, 4, 32)
    const values = lowBits
      .view([-1, 16, 16])
      .add(highBits.view([-1, 16, 16]))
      .to("float32")
      .sub(32);
    const scales = bytes(blocks, 192, 16).bitcast("int8").to("float32");
    return half(bytes(blocks, 208, 2))
      .mul(scales)
      .unsqueeze(-1)
      .mul(values)
      .flatten(1);
  },
};

function bytes(blocks: Tensor, begin: number, count: number): Tensor {
  return blocks.narrow(1, begin, count);
}

function half(pairs: Tensor): Tensor {
  return pairs.bitcast("float16").to("float32");
}

/** values · scale, of every block. (blocks, elements), (blocks, 1) */
function scaled(values: Tensor, scale: Tensor): Tensor {
  return (values.dtype === "float32" ? values : values.to("float32")).mul_(scale);
}

function and(x: Tensor, mask: number): Tensor {
  return call("aten::bitwise_and.Scalar", x, mask) as Tensor;
}

function shiftRight(x: Tensor, by: number): Tensor {
  return call("aten::bitwise_right_shift.Tensor_Scalar", x, by) as Tensor;
}

/** Low halves of all bytes, then the high ones. uint8 (blocks, n) -> int8 (blocks, 2n) */
function nibbles(packed: Tensor): Tensor {
  return F.cat([and(packed, 15), shiftRight(packed, 4)], 1).bitcast("int8");
}

/** A fifth bit to each nibble: bit i of the four bytes is of element i. -> int8 (blocks, 32) */
function fives(highBits: Tensor, packed: Tensor): Tensor {
  const eachBit = F.stack(
    Array.from({ length: 8 }, (_, bit) => and(shiftRight(highBits, bit), 1)),
    2,
  ).flatten(1);
  return nibbles(packed).add(eachBit.bitcast("int8").mul(16));
}

/** Bit by bit: uint8 (blocks, 32) -> (blocks, 8, 32), the lowest bits first. */
function bits(packed: Tensor): Tensor {
  return F.stack(
    Array.from({ length: 8 }, (_, bit) => and(shiftRight(packed, bit), 1)),
    1,
  );
}

/** Two bits an element; a half of the bytes has four quarters one above the other. (blocks, 64) -> (blocks, 16, 16) */
function pairsOfBits(packed: Tensor): Tensor {
  const halves = packed.reshape([-1, 2, 1, 32]);
  return F.cat(
    [0, 2, 4, 6].map((by) => and(shiftRight(halves, by), 3)),
    2,
  ).view([-1, 16, 16]);
}

/** Q3_K's sixteen scales of six bits, less 32: four bits in the first eight bytes, two in the last four. */
function sixteenScales(packed: Tensor): Tensor {
  const low = bytes(packed, 0, 8);
  const high = bytes(packed, 8, 4);
  const lowBits = F.cat([and(low, 15), shiftRight(low, 4)], 1);
  const highBits = F.cat(
    [0, 2, 4, 6].map((by) => and(shiftRight(high, by), 3)),
    1,
  ).mul(16);
  return lowBits.add(highBits).to("float32").sub(32);
}

/** Q4_K and Q5_K: scale · value − minimum, of eight parts of a block. values (blocks, 8, 32) -> (blocks, 256) */
function withMinimum(blocks: Tensor, values: Tensor): Tensor {
  const packed = bytes(blocks, 4, 12);
  const [first, second, third] = [0, 4, 8].map((begin) => bytes(packed, begin, 4)) as [Tensor, Tensor, Tensor];
  // Four parts have six bits in a byte; the other four have four bits in one byte and two on top of the first ones'.
  const scales = F.cat([and(first, 63), and(third, 15).add(shiftRight(first, 6).mul(16))], 1).to("float32");
  const minima = F.cat([and(second, 63), shiftRight(third, 4).add(shiftRight(second, 6).mul(16))], 1).to("float32");
  const scale = half(bytes(blocks, 0, 2))
    .mul(scales)
    .unsqueeze(-1);
  const minimum = half(bytes(blocks, 2, 2))
    .mul(minima)
    .unsqueeze(-1);
  return scale.mul(values).sub_(minimum).flatten(1);
}
