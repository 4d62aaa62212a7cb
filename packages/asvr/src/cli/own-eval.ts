import { basename, join, parse, resolve } from "node:path";
import { setThreads } from "@asvr/torch";
import { countKinds } from "../data/faults.js";
import { askRecords } from "../evaluation/ask-records.js";
import { compareRecords, type RecordComparison, type RecordScores, scoreRecords } from "../evaluation/record-scores.js";
import { writePredictions } from "../evaluation/run.js";
import { isRun } from "../export/source.js";
import { writeJson } from "../files.js";
import { studyOf } from "../parts/start.js";
import { loadTrainedRow } from "../parts/trained-row.js";
import { evaluateOwnData, type OwnAnswers } from "../studies/own-evaluation.js";
import { commandContext } from "./context.js";
import type { EvalOptions } from "./eval.js";
import { openCheckpoint } from "./open-checkpoint.js";
import { interruptSignal, printJson, tellWritten } from "./options.js";
import { print } from "./printable.js";
import { type ProgressDisplay, progressDisplay } from "./progress.js";

/** What a model scores on a user's records: `scores.json`. */
interface OwnScores extends RecordScores, Omit<Asked, "predictions"> {
  /** The model, as it was named. */
  run: string;
  data: string;
  images: string | null;
  /** Where answers and scores are. */
  out: string;
  against?: RecordComparison & { baseline: string };
}

/** Of a published model nobody knows which pictures it has seen. */
type Asked = Omit<OwnAnswers, "seenPictures"> & { seenPictures: number | null };

/** Asks a model a user's records, and a baseline the same; writes answers and scores, and prints them. */
export async function evaluateOwn(checkpoint: string, data: string, options: EvalOptions): Promise<void> {
  const { baseline, json, name = parse(data).name, images } = options;
  const out = options.out ?? (isRun(checkpoint) ? join(checkpoint, "evaluation", name) : besideRuns(checkpoint, name));
  const display = progressDisplay();
  let answers: Asked;
  let others: Asked | undefined;
  try {
    const signal = interruptSignal(display);
    answers = await ask(checkpoint, data, { ...options, display, signal });
    if (baseline !== undefined) others = await ask(baseline, data, { ...options, display, signal });
  } finally {
    display.close();
  }
  const scoresOf = (run: string, folder: string, { predictions, ...asked }: Asked): OwnScores => ({
    run,
    data: resolve(data),
    images: images === undefined ? null : resolve(images),
    out: folder,
    ...asked,
    ...scoreRecords(predictions),
  });
  const scores = scoresOf(checkpoint, out, answers);
  const written = await write(out, answers, scores);
  if (baseline !== undefined && others) {
    scores.against = { baseline, ...compareRecords(answers.predictions, others.predictions) };
    const folder = join(out, "baseline");
    const more = await write(folder, others, scoresOf(baseline, folder, others));
    await write(out, answers, scores);
    written.push(...more.map((file) => join("baseline", file)));
  }
  if (json) printJson(scores);
  else print(describe(scores));
  tellWritten(out, written, json);
}

/** A published model's folder is not ours to write into. */
function besideRuns(checkpoint: string, name: string): string {
  const model = basename(resolve(checkpoint)).replaceAll(/[^\w.-]+/g, "_");
  return join("runs", "evaluation", model, name);
}

interface AskOptions extends EvalOptions {
  display: ProgressDisplay;
  signal: AbortSignal;
}

/** A run is asked with the prompts that it was trained with, any other model by its chat template. */
async function ask(checkpoint: string, data: string, { display, signal, ...options }: AskOptions): Promise<Asked> {
  const { images = null, maxBad, maxNewTokens, concurrency } = options;
  const started = performance.now();
  display.start(checkpoint);
  let answers: Asked;
  if (isRun(checkpoint)) {
    const context = await commandContext(await studyOf(checkpoint), checkpoint, display, signal);
    using row = await loadTrainedRow(context, checkpoint);
    setThreads(options.threads ?? row.recipe.threads);
    answers = await evaluateOwnData(context, row, checkpoint, { data, images, maxBad, maxNewTokens });
  } else {
    using model = await openCheckpoint(checkpoint, options, signal);
    const onProgress = (phase: string, done: number, total: number) =>
      display.update(checkpoint, { phase: `${phase} ${parse(data).base}`, done, total });
    const asked = { images, maxBad, maxNewTokens, maxRunning: concurrency, signal, onProgress };
    answers = { ...(await askRecords(model, data, asked)), seenPictures: null };
  }
  display.done(checkpoint, (performance.now() - started) / 1000);
  return answers;
}

/** @returns the names of the files */
async function write(folder: string, { predictions }: Asked, scores: OwnScores): Promise<string[]> {
  await writePredictions(join(folder, "predictions.jsonl"), predictions);
  await writeJson(join(folder, "scores.json"), scores);
  return ["predictions.jsonl", "scores.json"];
}

function describe(scores: OwnScores): string {
  const { data, questions, pictures, withoutPicture, refused, exactMatch, interval, byType, against } = scores;
  const { mostFrequent, mostFrequentByQuestion, bad, faults, seenPictures } = scores;
  const line = (label: string, score: number, note = "") =>
    `  ${label.padEnd(24)}${score.toFixed(1).padStart(6)}${note === "" ? "" : `   ${note}`}\n`;
  const range = ([low, high]: readonly [number, number]) => `${low.toFixed(1)} to ${high.toFixed(1)}`;
  const shown = `${questions - withoutPicture} about ${pictures} pictures, ${withoutPicture} without one`;
  const asked = `${questions} questions ${withoutPicture > 0 ? `(${shown})` : `about ${pictures} pictures`}`;
  const lines = [
    `${data}: ${asked}\n`,
    line("exact match", exactMatch, `95% interval ${range(interval)} (bootstrap over pictures)`),
    ...Object.entries(byType).map(([type, { exactMatch }]) => line(`  ${type}`, exactMatch)),
    line("most frequent answer", mostFrequent.exactMatch, `(${JSON.stringify(mostFrequent.answer)})`),
    line("  to each question", mostFrequentByQuestion.exactMatch, "(reading the question, never looking)"),
  ];
  if (against) {
    const { baseline, baselineExactMatch, difference, interval: reach, p, questions: common } = against;
    const sign = difference < 0 ? "" : "+";
    const note = `difference ${sign}${difference.toFixed(1)} (95% interval ${range(reach)}), p ${p.toPrecision(2)} (paired permutation over pictures)`;
    lines.push(
      line("baseline", baselineExactMatch, note),
      `    ${baseline}, ${common} questions that both were asked\n`,
    );
  }
  if (refused > 0) lines.push(`  refused: ${refused} questions, counted as wrong; predictions.jsonl says why\n`);
  if (bad > 0) lines.push(`  left out: ${bad} records (${countKinds(faults)}); scores.json lists them\n`);
  if (seenPictures) {
    lines.push(`  not held out: ${seenPictures} of the pictures are among those that it was tuned on\n`);
  }
  return lines.join("");
}
