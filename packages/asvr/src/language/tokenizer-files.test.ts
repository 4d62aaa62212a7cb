import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { streamed } from "./tokenizer.fixture.js";
import { TextTokenizer } from "./tokenizer.js";

const goldens = process.env.ASVR_GOLDENS ?? join(import.meta.dirname, "../../goldens");
const tiny = join(goldens, "numerics/tokenizer-tiny");
const json = JSON.parse(readFileSync(join(tiny, "tokenizer.json"), "utf8"));
const config = JSON.parse(readFileSync(join(tiny, "tokenizer_config.json"), "utf8"));
const root = mkdtempSync(join(tmpdir(), "asvr-tokenizer-files-"));
afterAll(() => rmSync(root, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, "folder-"));
});
const copy = (...names: string[]) => names.forEach((name) => void cpSync(join(tiny, name), join(folder, name)));
const write = (name: string, content: unknown) =>
  writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
const load = () => TextTokenizer.fromFolder(folder);

describe("a checkpoint's folder", () => {
  test("tokenizer.json comes before tokenizer.model", () => {
    copy("tokenizer.json", "tokenizer.model", "tokenizer_config.json");
    expect(load().encode(" a")).toEqual([274]); // the other one would put a dummy space before the space
  });

  test("tokenizer.model alone is transformers' default, legacy", () => {
    copy("tokenizer.model");
    const { bosId, eosId, padId, startIds } = load();
    expect({ bosId, eosId, padId, startIds }).toEqual({ bosId: 1, eosId: 2, padId: undefined, startIds: [1] });
    expect(load().encode("a</s>a")).toEqual([274, 2, 274]);
    write("tokenizer_config.json", { legacy: false });
    expect(load().encode("a</s>a")).toEqual([274, 2, 390]);
    write("tokenizer_config.json", { legacy: false, add_bos_token: false, add_eos_token: true });
    expect(load().encode("a", { addSpecialTokens: true })).toEqual([274, 2]);
  });

  test("added tokens come from every file that may name them", () => {
    copy("tokenizer.model");
    write("added_tokens.json", { "<image>": 480 });
    write("special_tokens_map.json", { pad_token: { content: "<pad>" }, eos_token: "</s>" });
    write("tokenizer_config.json", {
      added_tokens_decoder: { 481: { content: "<x>", lstrip: true, rstrip: true, special: true } },
      pad_token: null,
    });
    const tokenizer = load();
    expect(tokenizer.encode("a<image> <x> a<pad>")).toEqual(
      [274, 480, 481, 390, 482].map((id) => (id === 390 ? 274 : id)),
    );
    expect([tokenizer.padId, tokenizer.vocabSize]).toEqual([482, 483]);
    expect(tokenizer.decode([274, 480, 481, 482], { skipSpecialTokens: true })).toBe("a<image>");
  });

  test("special_tokens_map.json will do beside tokenizer.json", () => {
    copy("tokenizer.json", "special_tokens_map.json");
    expect(load().eosId).toBe(2);
  });

  test("says what is missing", () => {
    expect(load).toThrow(`${folder} has neither tokenizer.json nor tokenizer.model.`);
    write("vocab.json", {});
    expect(load).toThrow("save the tokenizer anew with transformers");
    expect(() => TextTokenizer.fromFile(join(folder, "tokenizer.model"))).toThrow("there is no");
    copy("tokenizer.model");
    write("tokenizer_config.json", { tokenizer_class: "XLMRobertaTokenizer" });
    expect(load).toThrow("tokenizer_class is XLMRobertaTokenizer");
    write("tokenizer_config.json", { added_tokens_decoder: { 1e12: { content: "<x>" } } });
    expect(load).toThrow('the added token "<x>" has the id 1000000000000');
    write("tokenizer_config.json", { added_tokens_decoder: [null] });
    expect(load).toThrow(ConfigError);
  });
});

describe("prompts", () => {
  test("bos is put before a prompt that has none", () => {
    const tokenizer = TextTokenizer.fromFolder(tiny);
    expect(tokenizer.encodePrompt("<s> a")).toEqual(tokenizer.encode("a", { addSpecialTokens: true }));
    expect(tokenizer.encodePrompt("a")).toEqual(tokenizer.encode("a", { addSpecialTokens: true }));
    expect(tokenizer.encodePrompt("")).toEqual([1]);
  });
});

describe("streams", () => {
  const id = fc.integer({ min: -1, max: 482 });

  test.each([
    ["tokenizer.json", TextTokenizer.fromFile(join(tiny, "tokenizer.json"))],
    ["tokenizer.model", TextTokenizer.fromSentencePiece(readFileSync(join(tiny, "tokenizer.model")), config)],
    ["with clean-up", new TextTokenizer(json, { ...config, clean_up_tokenization_spaces: true })],
  ])("any ids give what decode gives: %s", (_, tokenizer) => {
    fc.assert(
      fc.property(fc.array(id, { maxLength: 40 }), fc.boolean(), (ids, skipSpecialTokens) => {
        expect(streamed(tokenizer, ids, { skipSpecialTokens })).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
      }),
      { numRuns: 500 },
    );
  });

  test("text comes with its id, a character once its bytes are complete", () => {
    const tokenizer = TextTokenizer.fromFolder(tiny);
    const stream = tokenizer.stream();
    const ids = tokenizer.encode("the cat 😀!");
    const pieces = ids.map((each) => stream.push(each));
    expect(pieces.slice(-5)).toEqual(["", "", "", "😀", "!"]);
    expect(pieces[0]).not.toBe("");
    expect(stream.end()).toBe("");
    expect(
      ids
        .slice(0, -3)
        .map((each) => stream.push(each))
        .join("") + stream.end(),
    ).toBe("the cat \uFFFD");
  });
});

/** Every place in a JSON value, as the keys that lead there. */
function placesIn(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [path];
  const keys = Object.keys(value).slice(0, 12);
  return [path, ...keys.flatMap((key) => placesIn((value as Record<string, unknown>)[key], [...path, key]))];
}

function replaced(value: unknown, [key, ...rest]: string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copied = structuredClone(value) as Record<string, unknown>;
  copied[key] = replaced(copied[key], rest, by);
  return copied;
}

test("a tokenizer.json with any part replaced is a tokenizer or a ConfigError, soon", () => {
  const places = placesIn(json);
  write("tokenizer_config.json", config);
  fc.assert(
    fc.property(fc.constantFrom(...places), fc.jsonValue(), (place, value) => {
      write("tokenizer.json", replaced(json, place, value));
      const start = performance.now();
      try {
        const tokenizer = load();
        tokenizer.decode(tokenizer.encode("the cat 1 é"));
      } catch (error) {
        expect(error, JSON.stringify([place, value])).toBeInstanceOf(ConfigError);
      }
      expect(performance.now() - start).toBeLessThan(3000);
    }),
    { numRuns: 300 },
  );
});

describe("a hostile tokenizer.json ends in a clear error", () => {
  const model = json.model;
  const deep = (depth: number): unknown =>
    depth === 0 ? { type: "NFC" } : { type: "Sequence", normalizers: [deep(depth - 1)] };
  test.each<[string, Record<string, unknown>, string]>([
    [
      "an id in the billions",
      { added_tokens: [{ id: 4e9, content: "<x>" }] },
      "added_tokens[0].id must be an id below",
    ],
    [
      "a vocabulary with such an id",
      { model: { ...model, vocab: { ...model.vocab, x: 2 ** 31 } } },
      'model.vocab["x"]',
    ],
    ["a negative id", { added_tokens: [{ id: -1, content: "<x>" }] }, "it is -1"],
    ["an empty added token", { added_tokens: [{ id: 5, content: "" }] }, "added_tokens[0].content must be a text"],
    ["a merge of what is no token", { model: { ...model, merges: [["▁", "qqq"]] } }, '"qqq" is none'],
    ["a merge into what is no token", { model: { ...model, merges: ["e e e"] } }, "must be two tokens"],
    ["a merge with itself for ever", { model: { ...model, merges: [["", "a"]] } }, "must be two tokens"],
    ["merges that are no list", { model: { ...model, merges: { a: "b" } } }, "model.merges must be a list"],
    ["steps a thousand deep", { normalizer: deep(1000) }, "must be at most 32 deep"],
    ["a step of no type", { decoder: {} }, "decoder.type must be a text"],
    [
      "a step that is none",
      { decoder: { type: "Sequence", decoders: [null] } },
      "decoder.decoders[0] must be an object",
    ],
    ["a pattern that is none", { pre_tokenizer: { type: "Split", pattern: {} } }, "must be a Regex or a String"],
    ["a step that does not exist", { normalizer: { type: "Magic" } }, "Magic"],
    ["scores that are none", { model: { type: "Unigram", unk_id: 0, vocab: [["a", "b"]] } }, "model.vocab[0] must be"],
    ["an unknown id outside", { model: { type: "Unigram", unk_id: 7, vocab: [["a", 0]] } }, "model.unk_id must be"],
    ["no model", { model: undefined }, "model must be an object; it is missing"],
  ])("%s", (_, change, message) => {
    write("tokenizer_config.json", config);
    write("tokenizer.json", { ...json, ...change });
    const start = performance.now();
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(message);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test.each(["a?".repeat(50) + "a".repeat(50), "(?:(?:a?){50}){50}", "(?:a?){1,3}"])(
    "a pattern that is not even compiled in a moment: %s",
    (pattern) => {
      write("tokenizer_config.json", config);
      write("tokenizer.json", {
        ...json,
        pre_tokenizer: { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated" },
      });
      expect(load).toThrow(/pre_tokenizer\.pattern must be of at most 24 repetitions/);
    },
  );

  test("what a pattern takes no time for is read by it", () => {
    write("tokenizer_config.json", config);
    write("tokenizer.json", {
      ...json,
      pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+$" }, behavior: "Isolated" },
    });
    expect(load().decode(load().encode("the cat"))).toBe("the cat");
  });
});
