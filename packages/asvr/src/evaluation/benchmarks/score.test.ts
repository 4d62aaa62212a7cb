import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { expect, test } from "vitest";
import { type PaperBenchmark, paperBenchmarks, paperRow } from "../../recipes/paper-tables.js";
import { benchmarkNamed, benchmarks, benchmarksNamed } from "./all.js";
import { loadBenchmark } from "./data/load.js";
import { exportPredictions } from "./export.js";
import { benchmarkFolder, recorder } from "./folder.fixture.js";
import { type BenchmarkPrediction, readPredictions } from "./predictions.js";
import { runBenchmark } from "./run.js";
import { scoreAgainst, scoreBenchmark } from "./score.js";

const { path } = benchmarkFolder();

async function answers(name: string, who: string, answer: (gold: string, at: number) => string) {
  const loaded = await loadBenchmark(benchmarkNamed(name), path("data"));
  const golds = new Map(
    loaded.questions.map(({ id, question }, at) => [id, [loaded.benchmark.gold(question)!, at] as const]),
  );
  const { answerer } = recorder(({ id }) => answer(...golds.get(id)!), who);
  const folder = path(who, name);
  if (!existsSync(folder)) await runBenchmark(loaded, answerer, { folder });
  return readPredictions(`${folder}/predictions.jsonl`);
}
const oracle = (name: string) => answers(name, "oracle", (gold) => gold);

test.each(benchmarks.map((one) => [one.name, one] as const))(
  "every protocol of %s scores the same stored answers",
  async (name, { protocols, elsewhere }) => {
    const predictions = await oracle(name);
    for (const protocol of Object.keys(protocols)) {
      const { value, interval, attainable } = scoreBenchmark(predictions, protocol);
      expect(value).toBeCloseTo(attainable, 9);
      expect(value).toBeGreaterThan(0);
      expect(interval[0]).toBeLessThanOrEqual(value + 1e-9);
    }
    expect(elsewhere.lmmsEval && elsewhere.vlmEvalKit).toBeTruthy();
    expect(() => scoreBenchmark(predictions, "nope")).toThrow(`${name} has no protocol "nope"; it has default`);
  },
);

test("protocols differ where the references do", async () => {
  const predictions = await answers("pope", "talker", (gold) => `${gold}!`);
  const values = Object.fromEntries(
    ["default", "lmms-eval", "vlmevalkit"].map((name) => [name, scoreBenchmark(predictions, name).value]),
  );
  expect(values).toEqual({ default: 0, "lmms-eval": 0, vlmevalkit: 100 });
  expect(scoreBenchmark(predictions, "default").unreadable).toBe(18);
  expect(scoreBenchmark(await answers("mme", "yes", () => "Yes"), "cambrian").value).toBeCloseTo(25, 9);
});

test("categories and the numbers beside the final one", async () => {
  const score = scoreBenchmark(await answers("pope", "yes", () => "yes"), "default");
  expect(score.value).toBe(50);
  expect(score.categories.category).toEqual({ adversarial: 50, popular: 50, random: 50 });
  expect(score.values).toMatchObject({ accuracy: 50, precision: 50, recall: 100, "said yes": 100 });
  expect(score.values.f1).toBeCloseTo(100 / 1.5, 9);
  expect(score.partial).toEqual(["18 questions instead of 9000"]);
  const circular = scoreBenchmark(await answers("mmbench", "some", (gold, at) => (at === 3 ? "Z" : gold)), "default");
  expect(circular.values.circular).toBeCloseTo(200 / 3, 9);
  expect(circular.values.plain).toBeCloseTo(800 / 9, 9);
  expect(circular.value).toBeCloseTo(200 / 3, 9);
});

test("against a baseline: the same questions, pairwise, corrected for how many are compared", async () => {
  const names = ["pope", "ai2d"];
  const runs = await Promise.all(names.map(async (name) => ({ predictions: await oracle(name) })));
  const worse = await Promise.all(names.map((name) => answers(name, "half", (gold, at) => (at % 2 ? "?" : gold))));
  const [pope, ai2d] = scoreAgainst(runs, worse, "default");
  expect(pope!.against).toMatchObject({
    baseline: 50,
    value: 50,
    mcNemar: { onlyModel: 9, onlyBaseline: 0, p: 2 / 512 },
  });
  const { p, correctedP } = pope!.against!;
  expect(correctedP).toBeCloseTo(Math.min(1, 2 * p), 9);
  expect(ai2d!.against!.baseline).toBe(50);
  expect(() => scoreAgainst([runs[0]!], [worse[0]!.slice(1)], "default")).toThrow("not the same 18");
  const graded = scoreAgainst(
    [{ predictions: await oracle("docvqa") }],
    [await answers("docvqa", "near", (gold) => `${gold}0`)],
    "default",
  );
  expect(graded[0]!.against!.mcNemar).toBeUndefined();
});

test("a split without answers is asked, not scored, and exported", async () => {
  const folder = path("blind");
  mkdirSync(`${folder}/docvqa`, { recursive: true });
  cpSync(path("data/MMVP/MMVP/MMVP Images/1.jpg"), `${folder}/docvqa/1.jpg`);
  const rows = [1, 2].map((id) => JSON.stringify({ questionId: id, question: `What is ${id}?`, image: "1.jpg" }));
  writeFileSync(`${folder}/docvqa/test.jsonl`, rows.join("\n"));
  const loaded = await loadBenchmark(benchmarkNamed("docvqa"), folder, { split: "test" });
  await runBenchmark(loaded, recorder(({ id }) => `answer ${id}`).answerer, { folder: `${folder}/run` });
  const predictions = await readPredictions(`${folder}/run/predictions.jsonl`);
  expect(predictions[0]).toMatchObject({ gold: null, score: null, extracted: null, answer: "answer 1" });
  expect(() => scoreBenchmark(predictions, "default")).toThrow("no published answer");
  const file = await exportPredictions(predictions, "submission", folder);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual([
    { questionId: 1, answer: "answer 1" },
    { questionId: 2, answer: "answer 2" },
  ]);
});

test("questions without a published answer are not scored", async () => {
  const [first, ...rest] = await oracle("docvqa");
  const blind: BenchmarkPrediction[] = [{ ...first!, gold: null, score: null }, ...rest];
  expect(() => scoreBenchmark(blind, "default")).toThrow("--export submission");
});

test("answers are exported as lmms-eval's from_log reads them", async () => {
  const file = await exportPredictions(await oracle("pope"), "lmms-eval", path("export"), "mine");
  const log = JSON.parse(readFileSync(file, "utf8"));
  expect(file.endsWith("pope.json")).toBe(true);
  expect(log.args).toEqual({ model: "mine", model_args: "", limit: null });
  expect(log.model_configs).toEqual({ task: "pope" });
  expect(log.logs[1]).toMatchObject({ doc_id: 1, resps: [["No"]], target: "No" });
});

test.each(benchmarks.map(({ name }) => name))("%s is exported for VLMEvalKit", async (name) => {
  const predictions = await oracle(name);
  const file = await exportPredictions(predictions, "vlmevalkit", path("export"), "mine");
  const sheet = sheetOf(file);
  expect(sheet.match(/<row /g)!.length).toBe(predictions.length + 1);
});

test("submissions have what the test servers take", async () => {
  const json = await exportPredictions(await oracle("docvqa"), "submission", path("export"));
  expect(JSON.parse(readFileSync(json, "utf8"))[1]).toEqual({ questionId: 101, answer: "$1,100.50" });
  const xlsx = await exportPredictions(await oracle("mmbench"), "submission", path("export"));
  expect(sheetOf(xlsx)).toContain("<v>1000200</v>");
  await expect(exportPredictions(await oracle("pope"), "submission", path("export"))).rejects.toThrow("no test server");
});

test("what a rule cannot read of the golds is not attainable, and said", async () => {
  const predictions = await oracle("realworldqa");
  const [first, ...rest] = predictions;
  const wordy = { ...first!, answer: "One way", gold: "One way", question: { ...first!.question, answer: "One way" } };
  const score = scoreBenchmark([wordy, ...rest], "default");
  expect(score.attainable).toBeCloseTo((100 * 5) / 6, 9);
  expect(scoreBenchmark([wordy, ...rest], "lmms-eval").attainable).toBeCloseTo(100, 9);
});

test("printed values are those of Table 1", () => {
  for (const { title, printed } of benchmarks) {
    expect([title, paperRow("table1", "llava")!.scores[paperBenchmarks.indexOf(title as PaperBenchmark)]]).toEqual([
      title,
      printed.llava,
    ]);
    expect([title, paperRow("table1", "asvr")!.scores[paperBenchmarks.indexOf(title as PaperBenchmark)]]).toEqual([
      title,
      printed.asvr,
    ]);
  }
});

test("benchmarks are named as on the command line", () => {
  expect(benchmarksNamed("all").length).toBe(14);
  expect(benchmarksNamed("pope, mme").map(({ name }) => name)).toEqual(["pope", "mme"]);
  expect(() => benchmarksNamed("nope")).toThrow('no benchmark is called "nope"; there are textvqa, docvqa');
});

/** The first sheet of an xlsx file, which is a zip archive. */
function sheetOf(file: string): string {
  const bytes = readFileSync(file);
  for (let at = bytes.indexOf("PK\x01\x02"); at >= 0; at = bytes.indexOf("PK\x01\x02", at + 4)) {
    const name = bytes.toString("utf8", at + 46, at + 46 + bytes.readUInt16LE(at + 28));
    if (name !== "xl/worksheets/sheet1.xml") continue;
    const local = bytes.readUInt32LE(at + 42);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const data = bytes.subarray(start, start + bytes.readUInt32LE(at + 20));
    return bytes.readUInt16LE(at + 10) === 0 ? data.toString("utf8") : inflateRawSync(data).toString("utf8");
  }
  throw new Error(`${file} has no sheet`);
}
