import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { SentencePieceEngine } from "./sentencepiece/engine.js";
import { SentencePieceProcessor } from "./sentencepiece/processor.js";
import { TextTokenizer } from "./tokenizer.js";
import { TokenizerWatch } from "./tokenizer-watch.js";

const goldens = process.env.ASVR_GOLDENS ?? join(import.meta.dirname, "../../goldens");
const tiny = join(goldens, "numerics/tokenizer-tiny");
const root = mkdtempSync(join(tmpdir(), "asvr-tokenizer-watch-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A SentencePiece model that knows a letter as often as every number up to `longest`. */
function pieces(longest: number, kind: "unigram" | "bpe" = "unigram") {
  const normalizer = {
    ...{ charsMap: new Uint8Array(0), addDummyPrefix: false, removeExtraWhitespaces: false, escapeWhitespaces: true },
  };
  const letters = Array.from({ length: longest }, (_, index) => ({
    ...{ text: "a".repeat(index + 1), score: index, kind: "normal" as const },
  }));
  const unknown = { text: "<unk>", score: 0, kind: "unknown" as const };
  const model = { pieces: [unknown, ...letters], kind, byteFallback: false, whitespaceAsSuffix: false, normalizer };
  return new SentencePieceEngine(new SentencePieceProcessor(model), {
    ...{ addedTokens: [], legacy: true, addPrefixSpace: false, unknownToken: "<unk>" },
    ...{ namedIds: [], startIds: [], endIds: [] },
  });
}

test("pieces of thousands of lengths are refused, of hundreds watched", () => {
  expect(() => pieces(3000)).toThrow(/a token is \d+ characters long, beginning with "aaaa/);
  const engine = pieces(500);
  expect(engine.encode("a".repeat(400), false)).toHaveLength(1);
  const start = performance.now();
  expect(() => engine.encode("a".repeat(200_000), false)).toThrow(/of length 200000; .*pieces of up to 500 characters/);
  expect(performance.now() - start).toBeLessThan(30_000);
});

test("a long text is watched in any case, and has time for each of its characters", () => {
  const watch = new TokenizerWatch([]);
  const forever = () => {
    for (;;);
  };
  expect(() => watch.run("a".repeat(1000), forever)).toThrow(ConfigError);
  expect(() => watch.run("a".repeat(1000), forever)).toThrow("it takes longer than 2 s to tokenize an input of length");
  const busy = () => {
    for (const end = performance.now() + 2500; performance.now() < end; );
    return 7;
  };
  expect(watch.run("a".repeat(500_000), busy)).toBe(7);
});

test("an error in the work is that error", () => {
  const broken = () => {
    throw new TypeError("broken");
  };
  expect(() => new TokenizerWatch(["a pattern"]).run("a", broken)).toThrow(TypeError);
});

test.each([
  ["(a+)+$", "a".repeat(40)],
  ["(?:a|a)*b", "a".repeat(60)],
  ["a*a*a*a*a*a*b", "a".repeat(4000)],
  ["[a-z]{0,999}[a-z]{0,999}[a-z]{0,999}[a-z]{0,999}!", "a".repeat(1500)],
  ["a*a*b", "a".repeat(20_000)],
])("a pattern that takes for ever: %s", (pattern, text) => {
  const folder = join(root, "folder");
  cpSync(tiny, folder, { recursive: true });
  const json = JSON.parse(readFileSync(join(tiny, "tokenizer.json"), "utf8"));
  const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated" };
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify({ ...json, pre_tokenizer: split }));
  const tokenizer = TextTokenizer.fromFolder(folder);
  const start = performance.now();
  const ending = pattern.endsWith("!") ? "?" : "!";
  expect(() => tokenizer.encode(text + ending)).toThrow(
    `what may be the reason: the pattern "${pattern.slice(0, 80)}"`,
  );
  expect(performance.now() - start).toBeLessThan(10_000);
});
