import { readFileSync } from "node:fs";
import { join } from "node:path";
import { goldenFamily } from "@asvr/torch/testing";
import { describe, expect } from "vitest";
import { readGgufHeader } from "../checkpoints/gguf/header.js";
import { smollm2File } from "../checkpoints/gguf/smollm2-file.js";
import { tokenizerFromGguf } from "../checkpoints/gguf/tokenizer.js";
import { streamed } from "./tokenizer.fixture.js";
import { TextTokenizer } from "./tokenizer.js";

interface Sidecar {
  readonly gguf: { readonly file: string };
  readonly smollm2_special_tokens: Readonly<Record<string, number>>;
  readonly cases: readonly Case[];
}

/** What is left out is equal to something else. */
interface Case {
  readonly text: string;
  readonly legacy_false: readonly number[];
  readonly legacy_true: readonly number[];
  readonly fast?: readonly number[];
  readonly fast_prepend?: readonly number[];
  readonly decoded?: string;
  readonly smollm2: readonly number[];
  readonly smollm2_decoded?: string;
}

const whole = { addSpecialTokens: true };
const silent = { skipSpecialTokens: true };

goldenFamily<unknown, Sidecar>("n_tokenizers", ({ folder, sidecar }) => {
  const tiny = join(folder, "tokenizer-tiny");
  const config = JSON.parse(readFileSync(join(tiny, "tokenizer_config.json"), "utf8"));
  const model = readFileSync(join(tiny, "tokenizer.model"));
  const slow = TextTokenizer.fromSentencePiece(model, { ...config, legacy: false });
  const legacy = TextTokenizer.fromSentencePiece(model, { ...config, legacy: true });
  const fast = TextTokenizer.fromFile(join(tiny, "tokenizer.json"));
  const prepend = TextTokenizer.fromFile(join(tiny, "tokenizer_prepend.json"));
  for (const entry of sidecar.cases) {
    const { text, legacy_false, legacy_true, decoded = text } = entry;
    const label = JSON.stringify(text);
    expect(slow.encode(text, whole), `legacy false: ${label}`).toEqual(legacy_false);
    expect(legacy.encode(text, whole), `legacy true: ${label}`).toEqual(legacy_true);
    expect(fast.encode(text, whole), `tokenizer.json: ${label}`).toEqual(entry.fast ?? legacy_false);
    expect(prepend.encode(text, whole), `prepend: ${label}`).toEqual(entry.fast_prepend ?? legacy_true);
    for (const tokenizer of [slow, fast]) {
      expect(tokenizer.decode(legacy_false, silent), label).toBe(decoded);
      expect(streamed(tokenizer, legacy_false, silent), label).toBe(decoded);
    }
    expect([...slow.startIds, ...slow.encodePieces([text]).flat()], label).toEqual(legacy_false);
    expect([...legacy.startIds, ...legacy.encodePieces([text]).flat()], label).toEqual(legacy_true);
  }
});

describe("SmolLM2", () => {
  goldenFamily<unknown, Sidecar>("n_tokenizers", ({ sidecar, skip }) => {
    const file = smollm2File() ?? skip(`needs ${sidecar.gguf.file}: asvr fetch smollm2, or ASVR_SMOLLM2`);
    const tokenizer = tokenizerFromGguf(readGgufHeader(file).metadata);
    for (const [token, id] of Object.entries(sidecar.smollm2_special_tokens)) expect(tokenizer.tokenId(token)).toBe(id);
    for (const { text, smollm2, smollm2_decoded = text } of sidecar.cases) {
      const label = JSON.stringify(text);
      expect(tokenizer.encode(text, whole), label).toEqual(smollm2);
      expect(tokenizer.decode(smollm2), label).toBe(smollm2_decoded);
      expect(streamed(tokenizer, smollm2), label).toBe(smollm2_decoded);
      expect(tokenizer.encodePieces([text]).flat(), label).toEqual(smollm2);
    }
  });
});
