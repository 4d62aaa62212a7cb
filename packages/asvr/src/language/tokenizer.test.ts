import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { TextTokenizer } from "./tokenizer.js";

const numerics = join(process.env.ASVR_GOLDENS ?? join(import.meta.dirname, "../../goldens"), "numerics");
const first = TextTokenizer.fromFile(join(numerics, "tokenizer-tiny/tokenizer.json"));
const every = TextTokenizer.fromFile(join(numerics, "tokenizer-tiny/tokenizer_prepend.json"));

interface Case {
  text: string;
  legacyFalse: number[];
  legacyTrue: number[];
  fast: number[];
  fastPrepend: number[];
  decoded: string;
}

/** Two golden files name the same columns differently; the long one leaves out what is equal. */
function cases(): Case[] {
  const short = readGolden("tokenizer-tiny.json")?.texts ?? [];
  const long = readGolden("n_tokenizers.json")?.cases ?? [];
  return [...short, ...long].map((entry) => {
    const legacyFalse = entry.legacy_false ?? entry.ids_slow_legacy_false;
    const legacyTrue = entry.legacy_true ?? entry.ids_slow_legacy_true;
    return {
      text: entry.text,
      legacyFalse,
      legacyTrue,
      fast: entry.fast ?? entry.ids_fast ?? legacyFalse,
      fastPrepend: entry.fast_prepend ?? entry.ids_fast_prepend ?? legacyTrue,
      decoded: entry.decoded ?? entry.text,
    };
  });
}

function readGolden(name: string) {
  const path = join(numerics, name);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

describe("golden ids", () => {
  test.each(cases())("$text", ({ text, legacyFalse, legacyTrue, fast, fastPrepend, decoded }) => {
    expect(first.encode(text, { addSpecialTokens: true })).toEqual(fast);
    expect(every.encode(text, { addSpecialTokens: true })).toEqual(fastPrepend);
    expect([...first.startIds, ...first.encodePieces([text]).flat()]).toEqual(legacyFalse);
    expect([...every.startIds, ...every.encodePieces([text]).flat()]).toEqual(legacyTrue);
    expect(first.decode(legacyFalse, { skipSpecialTokens: true })).toBe(decoded);
  });
});

test("reads the special tokens", () => {
  const { bosId, eosId, padId, vocabSize, startIds } = first;
  expect({ bosId, eosId, padId, vocabSize, startIds }).toEqual({
    bosId: 1,
    eosId: 2,
    padId: 0,
    vocabSize: 480,
    startIds: [1],
  });
  expect(first.tokenId("</s>")).toBe(2);
  expect(first.tokenId("no such token")).toBeUndefined();
});

test("decodes ids that are no token to nothing", () => {
  expect(first.decode([])).toBe("");
  expect(first.decode([-200, 100_000])).toBe("");
  expect(first.decode(Int32Array.of(1, 275, -200, 338))).toBe("<s> the cat");
});

test("decodes a byte order mark", () => {
  const text = "\ufeffBOM";
  expect(first.decode(first.encode(text))).toBe(text);
});

/** Texts made of what tokenizers stumble over, each beginning with a space so that no merge crosses a border. */
const fragment = fc.constantFrom("a", " ", "  ", "▁", "\n", "</s>", "<s>", "the cat", "é", "😀", "<", "42", ": ");
const piece = fc.array(fragment, { maxLength: 6 }).map((fragments) => ` ${fragments.join("")}`);

test.each([
  ["first", first],
  ["every", every],
])("pieces joined are the whole: %s", (_, tokenizer) => {
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 4 }), (pieces) => {
      fc.pre(pieces.every((text, index) => index === 0 || !text.startsWith("  "))); // runs of spaces may merge
      const whole = tokenizer.encodePieces([pieces.join("")]).flat();
      expect(tokenizer.encodePieces(pieces).flat()).toEqual(whole);
    }),
  );
});

describe("a tokenizer that cannot be used", () => {
  const folder = mkdtempSync(join(tmpdir(), "asvr-tokenizer-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "tokenizer.json");

  test("names the missing file", () => {
    expect(() => TextTokenizer.fromFile(path)).toThrow(`there is no ${path}`);
    writeFileSync(path, "{}");
    expect(() => TextTokenizer.fromFile(path)).toThrow(/there is no .*tokenizer_config.json/);
  });

  test("says what is wrong in it", () => {
    writeFileSync(path, readFileSync(join(numerics, "tokenizer-tiny/tokenizer.json")));
    writeFileSync(join(folder, "tokenizer_config.json"), '{"eos_token": "<end>"}');
    expect(() => TextTokenizer.fromFile(path)).toThrow('eos_token is "<end>", which the vocabulary does not have');
    writeFileSync(path, "{");
    expect(() => TextTokenizer.fromFile(path)).toThrow(ConfigError);
  });
});
