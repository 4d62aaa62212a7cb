import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../errors.js";
import { type Piece, readSentencePieceModel, type SentencePieceModel } from "./model-proto.js";
import { SentencePieceProcessor } from "./processor.js";
import { bytesField, numberField, writeSentencePieceModel } from "./write.fixture.js";

const piece = (text: string, kind: Piece["kind"] = "normal", score = 0): Piece => ({ text, kind, score });

const small: SentencePieceModel = {
  pieces: [piece("<unk>", "unknown"), piece("▁a", "normal", -1), piece("▁", "normal", -2), piece("a", "normal", -3)],
  kind: "bpe",
  byteFallback: false,
  whitespaceAsSuffix: false,
  normalizer: {
    charsMap: new Uint8Array(0),
    addDummyPrefix: true,
    removeExtraWhitespaces: false,
    escapeWhitespaces: true,
  },
};

const processorOf = (change: Partial<SentencePieceModel>) =>
  new SentencePieceProcessor(readSentencePieceModel(writeSentencePieceModel({ ...small, ...change })));
const charsMap = (bytes: Uint8Array) => ({ normalizer: { ...small.normalizer, charsMap: bytes } });

test("reads what was written", () => {
  expect(readSentencePieceModel(writeSentencePieceModel(small))).toEqual(small);
  expect(processorOf({}).encode("a  a?a")).toEqual([1, 2, 1, 0, 3]);
});

test("what a file leaves out has SentencePiece's default", () => {
  const file = bytesField(1, Buffer.concat([bytesField(1, Buffer.from("<unk>")), numberField(3, 2)]));
  expect(readSentencePieceModel(file)).toMatchObject({
    kind: "unigram",
    byteFallback: false,
    normalizer: { addDummyPrefix: true, removeExtraWhitespaces: true, escapeWhitespaces: true },
  });
});

describe("a model that cannot be used", () => {
  test.each<[string, Partial<SentencePieceModel>, string]>([
    ["a piece twice", { pieces: [...small.pieces, piece("a")] }, 'the piece "a" is there twice'],
    ["an empty piece", { pieces: [...small.pieces, piece("")] }, "piece 4 is empty"],
    ["no unknown piece", { pieces: small.pieces.slice(1) }, "it has 0 unknown pieces, not 1"],
    ["two unknown pieces", { pieces: [...small.pieces, piece("?", "unknown")] }, "it has 2 unknown pieces"],
    ["bytes that are missing", { byteFallback: true }, "byte_fallback is true, but it has 0 byte pieces"],
    ["bytes too many", { pieces: [...small.pieces, piece("<0x41>", "byte")] }, "byte_fallback is false, but it has 1"],
    ["a score that is no number", { pieces: [...small.pieces, piece("b", "normal", Number.NaN)] }, "is NaN"],
    ["a chars map that is too short", charsMap(Uint8Array.of(1, 2)), "precompiled_charsmap of 2 bytes"],
    [
      "a chars map that lies",
      charsMap(Uint8Array.of(0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0)),
      "no trie of 4294967292 bytes",
    ],
  ])("%s", (_, change, message) => {
    expect(() => processorOf(change)).toThrow(ConfigError);
    expect(() => processorOf(change)).toThrow(message);
  });

  test.each<[string, Uint8Array, string]>([
    ["nothing", new Uint8Array(0), "it has 0 unknown pieces"],
    ["another file", Buffer.from('{"model": 1}'), "of kind 3"],
    ["a number for a piece", numberField(1, 7), "a piece is a number"],
    ["a type of no piece", bytesField(1, Buffer.concat([bytesField(1, Buffer.from("x")), numberField(3, 9)])), "type"],
    ["a piece that is no UTF-8", bytesField(1, bytesField(1, Uint8Array.of(0xff))), "piece 0 is no UTF-8"],
    ["a score of two bytes", bytesField(1, bytesField(2, Uint8Array.of(1, 2))), "is no float32"],
    ["the kind word", bytesField(2, numberField(3, 3)), "its model_type is word"],
  ])("%s", (_, file, message) => {
    expect(() => readSentencePieceModel(file)).toThrow(ConfigError);
    expect(() => readSentencePieceModel(file)).toThrow(message);
  });

  test("millions of pieces end in an error soon", () => {
    const file = Buffer.alloc(6 * 1_000_001, bytesField(1, bytesField(1, Buffer.from("xx"))));
    const start = performance.now();
    expect(() => readSentencePieceModel(file)).toThrow("it has more than 1000000 pieces");
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

test("damage to a true model gives a model or a ConfigError, never anything else", () => {
  const goldens = process.env.ASVR_GOLDENS ?? join(import.meta.dirname, "../../../goldens");
  const path = join(goldens, "numerics/tokenizer-tiny/tokenizer.model");
  const whole = existsSync(path) ? readFileSync(path) : Buffer.from(writeSentencePieceModel(small));
  const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(whole.length), (changes, length) => {
      const damaged = Buffer.from(whole);
      for (const { at, byte } of changes) damaged[at] = byte;
      for (const file of [damaged, damaged.subarray(0, length)]) {
        try {
          new SentencePieceProcessor(readSentencePieceModel(file)).encode("the  cat ½ 😀");
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("damage to the rules of replacement gives text or a ConfigError", () => {
  const unit = fc.nat(0xffffffff);
  fc.assert(
    fc.property(fc.array(unit, { minLength: 1, maxLength: 300 }), fc.string(), (units, text) => {
      const map = Buffer.alloc(4 + units.length * 4 + 4);
      map.writeUInt32LE(units.length * 4);
      for (const [index, value] of units.entries()) map.writeUInt32LE(value, 4 + index * 4);
      try {
        expect(processorOf(charsMap(map)).encode(text)).toBeInstanceOf(Array);
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
      }
    }),
    { numRuns: 1000 },
  );
});
