import { type Tensor, tensor, tidy } from "@asvr/torch";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decoders } from "./dequantise.js";

// The formats in plain numbers, element by element.

const f32 = Math.fround;
const at = (block: Uint8Array, byte: number) => block[byte]!;
const bit = (block: Uint8Array, begin: number, index: number) => (at(block, begin + (index >> 3)) >> (index & 7)) & 1;
/** Element `index` of a block of 32 whose nibbles begin at `begin`. */
const nibble = (block: Uint8Array, begin: number, index: number) =>
  index < 16 ? at(block, begin + index) & 15 : at(block, begin + index - 16) >> 4;

function half(block: Uint8Array, begin: number): number {
  const bits = at(block, begin) | (at(block, begin + 1) << 8);
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Two bits of element `index` of 256: halves of 128, in each of which four quarters share 32 bytes. */
const twoBits = (block: Uint8Array, begin: number, index: number) =>
  (at(block, begin + 32 * (index >> 7) + (index & 31)) >> (2 * ((index >> 5) & 3))) & 3;

/** Scale and minimum, six bits each, of part `part` of eight. */
function sixBits(block: Uint8Array, part: number): [scale: number, minimum: number] {
  const byte = (index: number) => at(block, 4 + index);
  if (part < 4) return [byte(part) & 63, byte(part + 4) & 63];
  return [(byte(part + 4) & 15) | ((byte(part - 4) >> 6) << 4), (byte(part + 4) >> 4) | ((byte(part) >> 6) << 4)];
}

function q3Scale(block: Uint8Array, part: number): number {
  const low = part < 8 ? at(block, 96 + part) & 15 : at(block, 96 + part - 8) >> 4;
  return (low | (((at(block, 104 + (part & 3)) >> (2 * (part >> 2))) & 3) << 4)) - 32;
}

const signed = (byte: number) => (byte > 127 ? byte - 256 : byte);
const minus = (product: number, other: number) => f32(f32(product) - f32(other));

/** A half of 64 bytes holds 128 values of four bits: of 64 of them the low nibbles, of 64 the high ones. */
const q6Low = (block: Uint8Array, index: number) => {
  const byte = at(block, 64 * (index >> 7) + (index & 63));
  return (index & 127) < 64 ? byte & 15 : byte >> 4;
};

/** K-quants of four and five bits: 64 values share 32 bytes, the first 32 the low nibbles. */
const kNibble = (block: Uint8Array, begin: number, index: number) =>
  (at(block, begin + 32 * (index >> 6) + (index & 31)) >> (index & 32 ? 4 : 0)) & 15;

/** Elements and bytes of a block, where it has float16 numbers, and its elements. */
type Plain = [elements: number, bytes: number, halves: number[], element: (block: Uint8Array, index: number) => number];

const plain: Readonly<Record<string, Plain>> = {
  Q4_0: [32, 18, [0], (b, i) => f32((nibble(b, 2, i) - 8) * half(b, 0))],
  Q4_1: [32, 20, [0, 2], (b, i) => f32(f32(nibble(b, 4, i) * half(b, 0)) + half(b, 2))],
  Q5_0: [32, 22, [0], (b, i) => f32((nibble(b, 6, i) + 16 * bit(b, 2, i) - 16) * half(b, 0))],
  Q5_1: [32, 24, [0, 2], (b, i) => f32(f32((nibble(b, 8, i) + 16 * bit(b, 4, i)) * half(b, 0)) + half(b, 2))],
  Q8_0: [32, 34, [0], (b, i) => f32(signed(at(b, 2 + i)) * half(b, 0))],
  Q2_K: [
    256,
    84,
    [80, 82],
    (b, i) => minus(f32(half(b, 80) * (at(b, i >> 4) & 15)) * twoBits(b, 16, i), half(b, 82) * (at(b, i >> 4) >> 4)),
  ],
  Q3_K: [
    256,
    110,
    [108],
    (b, i) => {
      const high = (at(b, i & 31) >> (i >> 5)) & 1;
      return f32(f32(half(b, 108) * q3Scale(b, i >> 4)) * (twoBits(b, 32, i) - (high ? 0 : 4)));
    },
  ],
  Q4_K: [
    256,
    144,
    [0, 2],
    (b, i) => {
      const [scale, minimum] = sixBits(b, i >> 5);
      return minus(f32(half(b, 0) * scale) * kNibble(b, 16, i), half(b, 2) * minimum);
    },
  ],
  Q5_K: [
    256,
    176,
    [0, 2],
    (b, i) => {
      const [scale, minimum] = sixBits(b, i >> 5);
      const value = kNibble(b, 48, i) + 16 * ((at(b, 16 + (i & 31)) >> (i >> 5)) & 1);
      return minus(f32(half(b, 0) * scale) * value, half(b, 2) * minimum);
    },
  ],
  Q6_K: [
    256,
    210,
    [208],
    (b, i) => {
      const value = q6Low(b, i) + 16 * twoBits(b, 128, i) - 32;
      return f32(f32(half(b, 208) * signed(at(b, 192 + (i >> 4)))) * value);
    },
  ],
};

test.each(Object.entries(plain))("%s", (name, [elements, bytes, halves, element]) => {
  const blocks = fc.uint8Array({ minLength: 3 * bytes, maxLength: 3 * bytes });
  fc.assert(
    fc.property(blocks, (raw) => {
      // Halves that are no infinity or NaN, which random bits may be.
      for (let block = 0; block < 3; block++) for (const begin of halves) raw[block * bytes + begin + 1]! &= 0xbf;
      const want = Float32Array.from({ length: 3 * elements }, (_, index) => {
        const block = Math.floor(index / elements);
        return element(raw.subarray(block * bytes, (block + 1) * bytes), index % elements);
      });
      tidy(() => {
        const found: Tensor = decoders[name]!(tensor(raw, { shape: [3, bytes] }));
        expect(found.shape).toEqual([3, elements]);
        // Zeros may differ in their sign: 0 · −d.
        expect(Array.from(found.data() as Float32Array, (value) => value + 0)).toEqual(
          Array.from(want, (value) => value + 0),
        );
      });
    }),
    { numRuns: 50 },
  );
});
