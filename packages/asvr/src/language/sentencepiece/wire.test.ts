import fc from "fast-check";
import { expect, test } from "vitest";
import { fieldsOf } from "./wire.js";
import { bytesField, numberField } from "./write.fixture.js";

const fieldNumber = fc.integer({ min: 1, max: 2 ** 29 - 1 });
const field = fc.oneof(
  fc.record({ number: fieldNumber, value: fc.maxSafeNat() }),
  fc.record({ number: fieldNumber, value: fc.uint8Array({ maxLength: 300 }) }),
);

function write(fields: readonly { number: number; value: number | Uint8Array }[]): Buffer {
  return Buffer.concat(
    fields.map(({ number, value }) =>
      typeof value === "number" ? numberField(number, value) : bytesField(number, value),
    ),
  );
}

test("reads what was written", () => {
  fc.assert(
    fc.property(fc.array(field), (fields) => {
      const found = [...fieldsOf(write(fields))].map(({ number, value }) => ({
        number,
        value: typeof value === "number" ? value : Uint8Array.from(value),
      }));
      expect(found).toEqual(fields);
    }),
  );
});

test("reads any bytes to an end or an error, field by field inside the message", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      let count = 0;
      try {
        for (const { value } of fieldsOf(bytes)) {
          count += 1;
          if (typeof value !== "number") expect(value.buffer).toBe(bytes.buffer);
        }
      } catch (error) {
        expect((error as Error).message).toMatch(/byte \d+/);
      }
      expect(count).toBeLessThanOrEqual(bytes.length);
    }),
    { numRuns: 2000 },
  );
});

test("a message cut anywhere is a shorter one or an error", () => {
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 5 }), fc.nat(), (fields, seed) => {
      const whole = write(fields);
      const cut = whole.subarray(0, seed % whole.length);
      let found = 0;
      try {
        for (const _ of fieldsOf(cut)) found += 1;
      } catch {
        // the cut went through a field
      }
      expect(found).toBeLessThan(fields.length);
    }),
  );
});

test.each([
  [
    "a length beyond the end",
    [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
    "a field of 4294967295 bytes begins at byte 6 of 6",
  ],
  ["a number that breaks off", [0x08, 0x80], "breaks off inside a number, at byte 2"],
  ["a number without end", [0x08, ...Array(20).fill(0x80)], "longer than 10 bytes"],
  ["field 0", [0x00, 0x01], "there is no field 0"],
  ["a kind that does not exist", [0x0b], "of kind 3"],
])("names %s", (_, bytes, message) => {
  expect(() => [...fieldsOf(Uint8Array.from(bytes))]).toThrow(message);
});
