import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type PackedBatch, packSamples, planRows, sees } from "./packing.js";
import { IGNORE_INDEX, IMAGE_TOKEN_INDEX, type Sample, sampleLength } from "./samples.js";

/** A sample of the given ids ("I": the picture); capitals and the numbers over 50 are supervised. */
function sampleOf(id: string, ids: readonly (number | "I")[], key?: string, prefixLength?: number): Sample {
  const inputIds = Int32Array.from(ids, (token) => (token === "I" ? IMAGE_TOKEN_INDEX : token));
  const labels = inputIds.map((token) => (token > 50 ? token : IGNORE_INDEX));
  return { id, inputIds, labels, ...(key !== undefined && { image: { key } }), ...(prefixLength && { prefixLength }) };
}

const cat1 = sampleOf("cat1", [1, "I", 10, 61, 71], "cat");
const cat2 = sampleOf("cat2", [1, "I", 10, 8, 62], "cat");
const dog = sampleOf("dog", [1, "I", 11, 63, 64], "dog");
const text = sampleOf("text", [1, 12, 65]);
const all = [cat1, dog, cat2, text];

/** (rows, length) as nested lists. */
function rowsOf({ rows, length }: PackedBatch, flat: Int32Array): number[][] {
  return Array.from({ length: rows }, (_, row) => [...flat.subarray(row * length, (row + 1) * length)]);
}

describe("an example, three visual tokens a picture", () => {
  const compact = packSamples(all, { capacity: 9, imageTokens: 3, compact: true });

  test("questions of one picture share all that they begin with, and no last target is an input", () => {
    expect(compact).toMatchObject({ rows: 2, length: 9, tokenCount: 15, sampleIds: ["cat1", "cat2", "text", "dog"] });
    expect(rowsOf(compact, compact.inputIds)).toEqual([
      [1, 0, 0, 0, 10, 61, 8, 1, 12],
      [1, 0, 0, 0, 11, 63, 0, 0, 0],
    ]);
    expect(rowsOf(compact, compact.positions)).toEqual([
      [0, 1, 2, 3, 4, 5, 5, 0, 1],
      [0, 1, 2, 3, 4, 5, 0, 0, 0],
    ]);
    expect(rowsOf(compact, compact.documents)).toEqual([
      [0, 0, 0, 0, 0, 0, 0, 1, 1],
      [0, 0, 0, 0, 0, 0, -1, -1, -1],
    ]);
    expect(rowsOf(compact, compact.segments)).toEqual([
      [0, 0, 0, 0, 0, 1, 2, 1, 1],
      [0, 0, 0, 0, 1, 1, 0, 0, 0],
    ]);
    expect(compact.images).toEqual([
      { ref: { key: "cat" }, row: 0, start: 1, length: 3 },
      { ref: { key: "dog" }, row: 1, start: 1, length: 3 },
    ]);
    expect(compact.targets).toEqual({
      positions: Int32Array.of(4, 5, 6, 8, 13, 14), // 4: the last token of the prefix predicts the first word of cat1
      ids: Int32Array.of(61, 71, 62, 65, 63, 64),
    });
  });

  test("laid out whole, each sample brings its own picture and all of its tokens", () => {
    const whole = packSamples(all, { capacity: 14, imageTokens: 3, compact: false });
    expect(whole).toMatchObject({ rows: 2, length: 14, tokenCount: 24, sampleIds: ["cat1", "dog", "cat2", "text"] });
    expect(whole.images.map(({ ref, row, start }) => [ref.key, row, start])).toEqual([
      ["cat", 0, 1],
      ["dog", 0, 8],
      ["cat", 1, 1],
    ]);
  });

  test("a token sees its document's prefix, its own segment and nothing else", () => {
    const visible = (i: number) => [...compact.documents.keys()].filter((j) => sees(compact, i, j));
    expect(visible(3)).toEqual([0, 1, 2, 3]);
    expect(visible(5)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(visible(6)).toEqual([0, 1, 2, 3, 4, 6]); // cat2 does not see cat1
    expect(visible(8)).toEqual([7, 8]); // nor text the cat
    expect(visible(9)).toEqual([9]); // another row
    expect(visible(16)).toEqual([16]); // padding
  });

  test("a prompt keeps a token of its own, and all that it has", () => {
    const prompts = [sampleOf("a", [1, "I", 10, 20], "cat"), sampleOf("b", [1, "I", 10], "cat")];
    const batch = packSamples(prompts, { capacity: 14, imageTokens: 3, compact: true });
    expect([...batch.inputIds]).toEqual([1, 0, 0, 0, 10, 20, 10]);
    expect([...batch.segments]).toEqual([0, 0, 0, 0, 1, 1, 2]);
  });

  test("what a caption and its questions share can be text, supervised too", () => {
    const caption = [1, 20, 66, 21] as const;
    const samples = [sampleOf("a", [...caption, 67], undefined, 4), sampleOf("b", [...caption, 68, 69], undefined, 4)];
    const batch = packSamples(samples, { capacity: 9, imageTokens: 3, compact: true });
    expect([...batch.inputIds]).toEqual([1, 20, 66, 21, 68]);
    expect([...batch.positions]).toEqual([0, 1, 2, 3, 4]);
    expect([...batch.targets.positions]).toEqual([1, 3, 1, 3, 4]); // the caption counts once for each sample
    expect([...batch.targets.ids]).toEqual([66, 67, 66, 68, 69]);
  });

  test("nothing to pack gives an empty batch", () => {
    const batch = packSamples([], { capacity: 4, imageTokens: 3, compact: true });
    expect(batch).toMatchObject({ rows: 0, length: 0, tokenCount: 0, images: [] });
  });
});

describe("planning", () => {
  test("first fit, groups whole", () => {
    const plan = planRows(all, { capacity: 8, imageTokens: 3, compact: true });
    expect(plan.map(({ documents }) => documents.map(({ samples }) => samples))).toEqual([[[0, 2]], [[1], [3]]]);
    expect(plan.map(({ length }) => length)).toEqual([7, 8]);
  });

  test("a group over the capacity is split, its prefix repeated", () => {
    const many = Array.from({ length: 5 }, (_, index) => sampleOf(`${index}`, [1, "I", 60 + index, 70], "cat"));
    const plan = planRows(many, { capacity: 6, imageTokens: 3, compact: true });
    expect(plan.map(({ documents }) => documents.map(({ samples }) => samples))).toEqual([[[0, 1]], [[2, 3]], [[4]]]);
  });

  test("errors name the sample and the numbers", () => {
    const options = { capacity: 6, imageTokens: 3, compact: false };
    expect(() => planRows([text, dog], options)).toThrow("sample dog has 7 tokens, and a row holds 6");
    expect(() => planRows([cat2], { ...options, capacity: 0 })).toThrow("capacity is 0");
    expect(() => planRows([{ ...cat2, image: undefined }], options)).toThrow(
      "cat2 has 1 image positions and no picture",
    );
    expect(() => planRows([{ ...text, prefixLength: 4 }], options)).toThrow(
      "text has 3 ids, 3 labels and a prefixLength of 4",
    );
  });
});

const imageTokens = ({ key }: { key: string }) => (key === "cat" ? 3 : 5);
const word = fc.integer({ min: 3, max: 100 });
const anySample = fc
  .record({
    key: fc.constantFrom("cat", "dog", undefined),
    before: fc.constantFrom([1], [], [1, 70], [1, 3, 4]),
    after: fc.array(word, { maxLength: 7 }),
    sharesMore: fc.boolean(),
  })
  .map(({ key, before, after, sharesMore }): Sample => {
    const ids = [...before, ...(key ? (["I"] as const) : []), ...after];
    const most = Math.min(ids.length, before.length + 2);
    return sampleOf("", ids, key, sharesMore ? most : undefined);
  })
  .filter(({ inputIds }) => inputIds.length > 0);
const anySamples = fc
  .array(anySample, { maxLength: 12 })
  .map((samples) => samples.map((sample, index) => ({ ...sample, id: `s${index}` })));

/** Each target of a sample with all that it may see: "id <- token@position …". */
function unpackedContexts(sample: Sample): string[] {
  const tokens = [...sample.inputIds].flatMap((token) =>
    token === IMAGE_TOKEN_INDEX
      ? Array.from({ length: imageTokens(sample.image!) }, (_, index) => `${sample.image!.key}${index}`)
      : [`${token}`],
  );
  const shift = tokens.length - sample.inputIds.length;
  const imageAt = sample.inputIds.indexOf(IMAGE_TOKEN_INDEX);
  return [...sample.labels].flatMap((label, entry) => {
    if (label === IGNORE_INDEX || entry === 0) return [];
    const column = imageAt >= 0 && entry > imageAt ? entry + shift : entry;
    return [`${label} <- ${tokens.slice(0, column).map((token, position) => `${token}@${position}`)}`];
  });
}

/** Tokens that a target reads, the picture and what is meant to be shared; all without a target, or without leaving out. */
function tokensRead(sample: Sample, compact: boolean): number {
  const { inputIds, labels, prefixLength = 0 } = sample;
  const whole = sampleLength(sample, imageTokens);
  const last = labels.findLastIndex((label) => label !== IGNORE_INDEX);
  if (!compact || last <= 0) return whole;
  return whole - (inputIds.length - Math.max(last, prefixLength, inputIds.indexOf(IMAGE_TOKEN_INDEX) + 1));
}

function packedContexts(batch: PackedBatch): string[] {
  const names = [...batch.inputIds].map(String);
  for (const { ref, row, start, length } of batch.images) {
    for (let index = 0; index < length; index++) names[row * batch.length + start + index] = `${ref.key}${index}`;
  }
  return [...batch.targets.ids].map((id, target) => {
    const from = batch.targets.positions[target]!;
    const seen = names.flatMap((name, j) => (sees(batch, from, j) ? [`${name}@${batch.positions[j]}`] : []));
    return `${id} <- ${seen}`;
  });
}

describe.each([true, false])("any samples, compact %s", (compact) => {
  const packed = fc.tuple(anySamples, fc.integer({ min: 15, max: 60 })).map(([samples, capacity]) => {
    const options = { capacity, imageTokens, compact };
    return { samples, capacity, batch: packSamples(samples, options), plan: planRows(samples, options) };
  });

  test("every target sees what it sees in its sample alone, at the same positions", () => {
    fc.assert(
      fc.property(packed, ({ samples, batch }) => {
        expect(packedContexts(batch).sort()).toEqual(samples.flatMap(unpackedContexts).sort());
      }),
    );
  });

  test("every sample is packed once, and every token is accounted for", () => {
    fc.assert(
      fc.property(packed, ({ samples, capacity, batch, plan }) => {
        expect([...batch.sampleIds].sort()).toEqual(samples.map(({ id }) => id).sort());
        const real = batch.documents.filter((document) => document >= 0).length;
        expect(batch.tokenCount).toBe(real);
        const unpacked = samples.reduce((sum, sample) => sum + tokensRead(sample, compact), 0);
        const saved = plan
          .flatMap(({ documents }) => documents)
          .reduce((sum, { prefixLength, samples: members }) => sum + prefixLength * (members.length - 1), 0);
        expect(batch.tokenCount + saved).toBe(unpacked);
        if (!compact) expect(saved).toBe(0);
        expect(batch.length).toBeLessThanOrEqual(capacity);
        for (const { length } of plan) expect(length).toBeLessThanOrEqual(capacity);
      }),
    );
  });
});
