import { afterEach, expect, test } from "vitest";
import { type DType, DtypeError, defaultDevice, F, memory, tensor, tidy } from "./index.js";

const device = defaultDevice();
const before = memory().tensors;
afterEach(() => expect(memory().tensors).toBe(before));

test.each<[DType, unknown]>([
  ["uint8", Uint8Array.of(0, 255)],
  ["int8", Int8Array.of(-128, 127)],
  ["int16", Int16Array.of(-32768, 32767)],
  ["uint16", Uint16Array.of(0, 65535)],
  ["int32", Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
  ["uint32", Uint32Array.of(0, 2 ** 32 - 1)],
  ["int64", BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
  ["float32", Float32Array.of(-1.5, Number.POSITIVE_INFINITY)],
  ["float64", Float64Array.of(Math.PI, -0)],
])("%s goes in and out in its typed array", (dtype, values) => {
  tidy(() => {
    const x = tensor(values as Float32Array);
    expect(x.dtype).toBe(dtype);
    expect(x.data()).toEqual(values);
  });
});

test("booleans are 0 and 1", () => {
  tidy(() => {
    const x = tensor([true, false], { dtype: "bool" });
    expect([x.dtype, x.toNumbers()]).toEqual(["bool", [1, 0]]);
    expect(x.data()).toEqual(Uint8Array.of(1, 0));
  });
});

test.each(["bfloat16", "float16"] as const)("%s is read by an explicit conversion, and rounds to nearest", (dtype) => {
  tidy(() => {
    const x = tensor([1, 1 / 3, -2.5], { device }).to(dtype);
    expect(x.dtype).toBe(dtype);
    expect(() => x.data()).toThrow(DtypeError);
    expect(() => x.data()).toThrow(/\.to\("float32"\)/);
    const [one, third, negative] = x.to("float32").data() as Float32Array;
    expect([one, negative]).toEqual([1, -2.5]);
    expect(third).toBeCloseTo(1 / 3, dtype === "bfloat16" ? 2 : 3);
    expect(third).not.toBe(Math.fround(1 / 3));
    expect(x.toNumbers()).toEqual([1, third, -2.5]);
  });
});

test("bits are read as another dtype of any width", () => {
  tidy(() => {
    const bits = tensor(Uint16Array.of(0x3f80, 0xc020)).bitcast("bfloat16");
    expect(bits.toNumbers()).toEqual([1, -2.5]);
    expect(F.ones([1]).bitcast("uint8").toNumbers()).toEqual([0, 0, 128, 63]);
  });
});
