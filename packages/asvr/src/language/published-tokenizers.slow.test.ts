import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { readSentencePieceModel } from "./sentencepiece/model-proto.js";
import { SentencePieceProcessor } from "./sentencepiece/processor.js";
import { writeSentencePieceModel } from "./sentencepiece/write.fixture.js";
import { streamed } from "./tokenizer.fixture.js";
import { TextTokenizer } from "./tokenizer.js";

/** Ids are numbers with spaces between. */
interface Published {
  readonly texts: readonly string[];
  readonly packages: Readonly<Record<string, { readonly package: string; readonly ids: readonly string[] }>>;
}
interface Trained {
  readonly models: Readonly<Record<string, { readonly file: string; readonly ids: readonly string[] }>>;
}

const goldens = join(import.meta.dirname, "../../goldens/tokenizers");
const { texts, packages }: Published = JSON.parse(readFileSync(join(goldens, "published.json"), "utf8"));
const { models }: Trained = JSON.parse(readFileSync(join(goldens, "sentencepiece.json"), "utf8"));
const root = mkdtempSync(join(tmpdir(), "asvr-published-"));
afterAll(() => rmSync(root, { recursive: true }));

const idsOf = (line: string) => (line === "" ? [] : line.split(" ").map(Number));

/** The folder of a package that ships a tokenizer. Its exports do not name the file. */
function folderOf(name: string): string {
  const places = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const found = places.map((place) => join(place, name, "models")).find((folder) => existsSync(folder));
  if (found === undefined) throw new Error(`${name} is not installed`);
  return found;
}

/** The same texts, ids and way back, one by one. */
function expectIds(tokenizer: TextTokenizer, lines: readonly string[]): void {
  for (const [index, text] of texts.entries()) {
    const expected = idsOf(lines[index]!);
    expect(tokenizer.encode(text, { addSpecialTokens: true }), JSON.stringify(text)).toEqual(expected);
    expect(streamed(tokenizer, expected), JSON.stringify(text)).toBe(tokenizer.decode(expected));
  }
}

describe.each(Object.values(packages))("$package", ({ package: name, ids }) => {
  test("tokenizer.json gives the ids of Hugging Face's tokenizers", () => {
    expect(texts.length).toBe(1000);
    expectIds(TextTokenizer.fromFolder(folderOf(name)), ids);
  });
});

test("Llama's tokenizer.model gives the ids of its tokenizer.json", () => {
  const { package: name, ids } = packages.llama2!;
  const { model } = JSON.parse(readFileSync(join(folderOf(name), "tokenizer.json"), "utf8"));
  const pieces = Object.entries(model.vocab as Record<string, number>).sort((a, b) => a[1] - b[1]);
  // Vicuna has only the SentencePiece file, which no package ships: it is written from the vocabulary and the merges,
  // of which the first one that makes a piece says how good the piece is.
  const ranks = new Map<string, number>();
  for (const [rank, merge] of (model.merges as string[]).entries()) {
    const joined = merge.replace(" ", "");
    if (!ranks.has(joined)) ranks.set(joined, rank);
  }
  const folder = mkdtempSync(join(root, "llama-"));
  const file = writeSentencePieceModel({
    pieces: pieces.map(([text, id]) => ({
      text,
      score: -(ranks.get(text) ?? 0),
      kind: id === 0 ? "unknown" : id < 3 ? "control" : id < 259 ? "byte" : "normal",
    })),
    kind: "bpe",
    byteFallback: true,
    whitespaceAsSuffix: false,
    normalizer: {
      charsMap: new Uint8Array(0),
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
    },
  });
  writeFileSync(join(folder, "tokenizer.model"), file);
  expectIds(TextTokenizer.fromFolder(folder), ids);
});

test.each(Object.entries(models))("a trained model gives the ids of sentencepiece: %s", (_, { file, ids }) => {
  const model = readSentencePieceModel(Uint8Array.from(gunzipSync(Buffer.from(file, "base64"))));
  const processor = new SentencePieceProcessor(model);
  for (const [index, line] of ids.entries()) {
    const text = texts[index * 4]!;
    expect(processor.encode(text), JSON.stringify(text)).toEqual(idsOf(line));
  }
  const again = new SentencePieceProcessor(readSentencePieceModel(writeSentencePieceModel(model)));
  expect(again.model).toEqual(model);
});
