import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { DataError } from "../errors.js";
import { MAX_ELEMENT_BYTES } from "./elements.js";
import { loadRecords, readRecords } from "./records.js";

const root = mkdtempSync(join(tmpdir(), "asvr-records-"));
afterAll(() => rmSync(root, { recursive: true }));
const imagesFolder = join(root, "images");
mkdirSync(imagesFolder);
writeFileSync(join(imagesFolder, "cat.png"), "");

const question = { from: "human", value: "<image>\nWhat is it?" };
const answer = { from: "gpt", value: "A cat." };
const good = { id: "good", image: "cat.png", conversations: [question, answer] };
const textOnly = { id: "text", conversations: [{ from: "human", value: "Hello." }, answer] };

function write(name: string, content: string | Uint8Array): string {
  const file = join(root, name);
  writeFileSync(file, content);
  return file;
}

async function rejection(promise: Promise<unknown>): Promise<DataError> {
  const error = await promise.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(DataError);
  return error as DataError;
}

describe("good files", () => {
  test("array and lines give the same records", async () => {
    const array = write("good.json", `\ufeff${JSON.stringify([good, textOnly], null, 2)}\n`);
    const lines = write("GOOD.JSONL", `${JSON.stringify(good)}\r\n\n${JSON.stringify(textOnly)}`);
    const want = { records: [good, textOnly], faults: [], total: 2 };
    expect(await loadRecords(array, { imagesFolder })).toEqual({ ...want, places: [0, 1] });
    expect(await loadRecords(lines, { imagesFolder })).toEqual({ ...want, places: [0, 2] }); // the line
    expect(await loadRecords(write("empty.json", " [ ] "))).toEqual({ records: [], places: [], faults: [], total: 0 });
  });

  test("keeps type and group, leaves out the rest", async () => {
    const file = write("extra.json", JSON.stringify([{ ...textOnly, type: "count", group: null, model: "x" }]));
    expect((await loadRecords(file)).records).toEqual([{ ...textOnly, type: "count" }]);
  });

  test("repeated ids can be numbered", async () => {
    const file = write("ids.json", JSON.stringify([textOnly, textOnly, textOnly]));
    const { records } = await loadRecords(file, { duplicateIds: "number" });
    expect(records.map(({ id }) => id)).toEqual(["text", "text#2", "text#3"]);
  });

  test("the array is cut where JSON.parse would cut it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: "grapheme" }), { maxLength: 5 }), async (texts) => {
        const value = texts.map((text, index) => ({
          id: `${index}`,
          conversations: [
            { from: "human", value: text },
            { from: "gpt", value: `a${text}` },
          ],
        }));
        const file = write("any.json", JSON.stringify(value, null, 1));
        expect((await loadRecords(file)).records).toEqual(value);
      }),
      { numRuns: 30 },
    );
  });

  test("a record may span many chunks of the file", async () => {
    const long = { ...textOnly, conversations: [{ from: "human", value: "]},{ \\ ".repeat(40_000) }, answer] };
    const file = write("long.json", JSON.stringify([long, { ...textOnly, id: "b" }]));
    expect((await loadRecords(file)).records[0]).toEqual(long);
  });
});

test("an answer before the first question is left out, whatever it says", async () => {
  for (const value of ["Hello.", ""]) {
    const record = { ...good, conversations: [{ from: "gpt", value }, question, answer] };
    const { records, faults } = await loadRecords(write("begun.json", JSON.stringify([record])), { imagesFolder });
    expect(faults).toEqual([]);
    expect(records).toEqual([good]);
  }
});

describe("faults", () => {
  const turns = (...conversations: { from: string; value: string }[]) => ({ ...good, conversations });
  const cases: [kind: string, field: string, record: unknown][] = [
    ["wrong-shape", "id", { ...good, id: null }],
    ["wrong-shape", "conversations[1].value", turns(question, { from: "gpt" } as never)],
    ["wrong-shape", "image", { ...good, image: ["a.png", "b.png"] }],
    ["wrong-shape", "", "not an object"],
    ["unknown-role", "conversations[0].from", turns({ from: "user", value: "<image>" }, answer)],
    ["turn-order", "conversations[0].from", { ...textOnly, id: "alone", conversations: [answer] }],
    ["turn-order", "conversations[1].from", turns(answer, answer, question, answer)],
    ["turn-order", "conversations[1]", turns(answer, question)],
    ["turn-order", "conversations[1].from", turns(question, { from: "human", value: "And?" })],
    ["turn-order", "conversations[0]", turns(question)],
    ["empty-answer", "conversations[1].value", turns(question, { from: "gpt", value: " \n" })],
    ["image-token-missing", "conversations[0].value", turns({ from: "human", value: "What?" }, answer)],
    ["image-token-doubled", "conversations[0].value", turns({ from: "human", value: "<image><image>" }, answer)],
    ["image-token-doubled", "conversations[2].value", turns(question, answer, question, answer)],
    ["image-token-in-answer", "conversations[1].value", turns(question, { from: "gpt", value: "<image>" })],
    ["image-token-without-image", "conversations[0].value", { ...good, image: undefined }],
    ["absolute-path", "image", { ...good, image: "/etc/passwd" }],
    ["path-escape", "image", { ...good, image: "../cat.png" }],
    ["missing-image", "image", { ...good, image: "dog.png" }],
    ["duplicate-id", "id", { ...good, id: "text" }],
  ];

  test.each(cases)("%s at %s", async (kind, field, record) => {
    const file = write("bad.json", JSON.stringify([textOnly, record]));
    const { records, faults } = await loadRecords(file, { imagesFolder, maxBad: 1 });
    expect(records).toEqual([textOnly]);
    expect(faults).toEqual([{ file, index: 1, field, kind, message: expect.any(String) }]);
  });

  test("bad JSON and bad UTF-8 spoil their own record only", async () => {
    const line = JSON.stringify(textOnly);
    const parts = [`[${line}, {"id": nothing}, {"a": [}, {"b": ]}, {"id": "`, Uint8Array.of(0xff), `"}]`].map((part) =>
      Buffer.from(part),
    );
    const { records, faults } = await loadRecords(write("mixed.json", Buffer.concat(parts)), { maxBad: 4 });
    expect(records).toHaveLength(1);
    expect(faults.map(({ index, kind }) => [index, kind])).toEqual([
      [1, "invalid-json"],
      [2, "invalid-json"], // a bracket that was not closed
      [3, "invalid-json"], // one that was not opened
      [4, "invalid-utf8"],
    ]);
    const lines = await loadRecords(write("mixed.jsonl", `\n{\n${line}`), { maxBad: 1 });
    expect(lines.faults).toMatchObject([{ index: 1, kind: "invalid-json" }]);
  });

  test.each([
    ["not-an-array", '{"id": 1}'],
    ["not-an-array", ""],
    ["truncated-file", `[${JSON.stringify(textOnly)}`],
    ["truncated-file", `[${JSON.stringify(textOnly)}, {"id": "b", "conv`],
    ["invalid-json", "[] []"],
  ])("a file that is no array of records stops at once: %s %j", async (kind, content) => {
    const error = await rejection(loadRecords(write("file.json", content), { maxBad: 100 }));
    expect(error.faults).toMatchObject([{ index: -1, kind }]);
  });

  test("more than maxBad: the error lists the first, counts the rest and says what to do", async () => {
    const bad = Array.from({ length: 12 }, (_, index) => ({ ...good, id: `r${index}`, image: `dog${index}.png` }));
    const file = write("many.json", JSON.stringify([good, ...bad]));
    const error = await rejection(loadRecords(file, { imagesFolder, maxBad: 11 }));
    expect(error.faults).toHaveLength(12);
    expect(error.message).toContain(`12 of 13 records of ${file} are bad, and 11 may be:`);
    expect(error.message).toContain(`${file}[1].image: missing-image: `);
    expect(error.message).toContain("and 2 more: 12 missing-image");
    expect(error.message).toContain("--max-bad 12");
  });

  test("many faults of one kind are one line: as where --images was forgotten", async () => {
    const records = Array.from({ length: 300 }, (_, index) => ({ ...good, id: `r${index}` }));
    const error = await rejection(loadRecords(write("forgotten.json", JSON.stringify(records))));
    expect(error.faults).toHaveLength(300);
    expect(error.message.split("\n")).toHaveLength(3);
    expect(error.message).toMatch(/forgotten.json\[0\].image: missing-image: .*--images.*\(and 299 more like it\)/);
  });

  test.each([
    ["turns that are none", "1", /^it is 1; a turn is an object/],
    ["roles that are none", '{"from":"x","value":""}', /^the role is "x"/],
  ])("a record with a million wrong turns has a few faults, and their number: %s", async (_, turn, message) => {
    const count = turn === "1" ? 1_000_000 : 200_000;
    const content = `[{"id":"1","conversations":[${`${turn},`.repeat(count - 1)}${turn}]}]`;
    const { faults } = await readRecords(write("million.json", content));
    expect(faults).toHaveLength(6);
    expect(faults[4]).toMatchObject({ index: 0, message: expect.stringMatching(message) });
    expect(faults[5]).toMatchObject({
      field: "",
      message: `and ${(count - 5).toLocaleString("en")} more in this record.`,
    });
  });

  test("a file of faulty records is not read to its end", async () => {
    const { faults, total } = await readRecords(write("ones.json", `[${"1,".repeat(150_000)}1]`));
    expect(total).toBe(100_001);
    expect(faults.at(-1)).toMatchObject({ index: -1, kind: "too-many-faults" });
  });

  test("a long text in a message is cut", async () => {
    const long = "x".repeat(100_000);
    const turn = { from: long, value: "Hello." };
    const records = [good, { ...good, id: long, image: long }, { id: "2", conversations: [turn] }];
    const { faults } = await readRecords(write("long-fields.json", JSON.stringify(records)), { imagesFolder });
    expect(faults.map(({ kind }) => kind)).toEqual(["missing-image", "unknown-role"]);
    for (const { message } of faults) expect(message.length).toBeLessThan(500);
  });

  test.each<[what: string, record: unknown, field: string, message: string]>([
    ["no id", { conversations: [question, answer] }, "id", "it is missing. Give each record its own id"],
    ["two pictures", { ...good, image: ["a.png", "b.png"] }, "image", "it is a list of 2. It must be the path of one"],
    [
      "OpenAI's form",
      { id: "1", messages: [{ role: "user", content: [{ type: "text" }] }] },
      "messages",
      "OpenAI's form",
    ],
    [
      "OpenAI's turns",
      turns({ role: "user", content: "Hi" } as never),
      "conversations[0]",
      'it has "role" and "content"',
    ],
    ["no turns", { id: "1", conversations: null }, "conversations", 'It must be a list of turns: [{"from": "human"'],
  ])("a record of another form is told the form that is wanted: %s", async (_, record, field, message) => {
    const { faults } = await readRecords(write("form.json", JSON.stringify([record])), { imagesFolder });
    expect(faults).toMatchObject([{ field, kind: "wrong-shape", message: expect.stringContaining(message) }]);
  });

  test.each<[what: string, content: Buffer, kind: string, message: string]>([
    ["UTF-16", Buffer.from("\ufeff[]", "utf16le"), "invalid-utf8", "UTF-16"],
    ["UTF-16, big end first, no mark", Buffer.from("[]", "utf16le").swap16(), "invalid-utf8", "UTF-16"],
    ["gzip", gzipSync("[]"), "not-an-array", "gunzip"],
    ["Parquet", Buffer.from("PAR1"), "not-an-array", "Parquet"],
  ])("a file that is no JSON in UTF-8 is named: %s", async (_, content, kind, message) => {
    const { faults } = await readRecords(write("content.json", content));
    expect(faults).toMatchObject([{ index: -1, kind, message: expect.stringContaining(message) }]);
  });

  test.each<[named: string, there: string, message: string]>([
    ["caf\u00e9.png", "cafe\u0301.png", "composed otherwise"],
    ["sub\\0.png", "sub/0.png", 'There is "sub/0.png": write the path with slashes'],
    ["upper.PNG", "Upper.png", "other case"],
  ])("a picture whose name is nearly right is named: %s", async (image, there, message) => {
    mkdirSync(join(imagesFolder, "sub"), { recursive: true });
    writeFileSync(join(imagesFolder, there), "");
    const { faults } = await readRecords(write("near.json", JSON.stringify([{ ...good, image }])), { imagesFolder });
    expect(faults).toMatchObject([{ kind: "missing-image", message: expect.stringContaining(message) }]);
  });

  test("everything that is wrong with a record is said, and it counts as one bad record", async () => {
    const record = {
      id: "text",
      image: "../cat.png",
      conversations: [
        { from: "user", value: "<image><image>" },
        { from: "gpt", value: "" },
      ],
    };
    const file = write("several.json", JSON.stringify([textOnly, record]));
    const { records, faults, total } = await loadRecords(file, { imagesFolder, maxBad: 1 });
    expect({ records, total }).toEqual({ records: [textOnly], total: 2 });
    expect(faults.map(({ kind }) => kind).sort()).toEqual(
      ["duplicate-id", "unknown-role", "empty-answer", "image-token-doubled", "path-escape"].sort(),
    );
    expect(faults.find(({ kind }) => kind === "unknown-role")!.message).toContain('Write "human"');
  });

  test("a file that breaks off: the records before the break are looked at", async () => {
    const file = write(
      "broken.json",
      `[${JSON.stringify(textOnly)}, ${JSON.stringify({ ...textOnly, id: 7 })}, {"id": "`,
    );
    const { records, faults, total } = await readRecords(file);
    expect(records.map(({ id }) => id)).toEqual(["text", "7"]);
    expect(total).toBe(2);
    expect(faults).toEqual([
      { file, index: -1, field: "", kind: "truncated-file", message: expect.stringContaining("in record 2") },
    ]);
  });

  test("a record of many megabytes is not held, and those after it are read", async () => {
    const long = JSON.stringify({ ...textOnly, id: "x".repeat(MAX_ELEMENT_BYTES) });
    const { records, faults } = await readRecords(write("huge.json", `[${long}, ${JSON.stringify(textOnly)}]`));
    expect(records).toEqual([textOnly]);
    expect(faults).toMatchObject([{ index: 0, kind: "too-long" }]);
  });

  test("a picture needs a folder", async () => {
    const error = await rejection(loadRecords(write("nofolder.json", JSON.stringify([good]))));
    expect(error.message).toContain("no images folder was given");
  });
});
