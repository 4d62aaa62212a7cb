import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { tensor, tidy, writeSafetensors } from "@asvr/torch";
import { z } from "zod";
import { type AttendedAnswer, attendToPicture, type Chosen } from "../analysis/picture-attention.js";
import type { ChatModel } from "../chat/chat-model.js";
import type { RgbImage } from "../data/images.js";
import { ConfigError, DataError } from "../errors.js";
import {
  type AttentionCase,
  attentionPage,
  attentionPng,
  type Moment,
  type ShownCase,
  shownCase,
} from "../figures/attention-figure.js";
import { readText } from "../files.js";
import { openCheckpoint } from "./open-checkpoint.js";
import type { OpeningOptions } from "./opening.js";
import { printJson, tellWritten } from "./options.js";
import { readPicture } from "./picture.js";
import { print } from "./printable.js";

export interface AttentionOptions extends OpeningOptions {
  image?: string;
  question?: string;
  cases?: string;
  baseline?: string;
  layers: Chosen;
  heads: Chosen;
  at: Moment;
  maxNewTokens: number;
  out?: string;
  json: boolean;
}

interface Question {
  /** As it was named. */
  image: string;
  picture: RgbImage;
  question: string;
}

/** A question with what each model made of it, the asked one first. */
interface Looked extends Question {
  seen: readonly { checkpoint: string; model: string; attended: AttendedAnswer }[];
}

/** Darker for more: ten steps. */
const SHADES = " .:-=+*#%@";

/** Prints a model's answer to a question, and where its last token looks; of many questions makes a page. */
export async function attention(checkpoint: string, options: AttentionOptions): Promise<void> {
  const { baseline, cases, out, json } = options;
  const questions = await readQuestions(options);
  const looked: Looked[] = questions.map((question) => ({ ...question, seen: [] }));
  for (const path of [checkpoint, ...(baseline === undefined ? [] : [baseline])]) {
    using model = await openCheckpoint(path, options); // one after the other: two large ones need not fit together
    for (const one of looked) one.seen = [...one.seen, look(model, path, one, options)];
  }
  const found = looked.map((one) => ({ looked: one, summary: summaryOf(one, options) }));
  if (out !== undefined) await writeAll(out, found, options);
  if (json) printJson(cases === undefined ? found[0]!.summary : { cases: found.map(({ summary }) => summary) });
  else for (const { looked: one } of found) print(drawn(one, options));
  if (out !== undefined) {
    const cased = found.map((_, index) => `case-${index + 1}/`);
    const written = cases === undefined ? [...caseFiles, "index.html"] : ["index.html", ...cased];
    tellWritten(out, written, json);
  }
}

async function readQuestions({ image, question, cases, out }: AttentionOptions): Promise<Question[]> {
  if (cases !== undefined) {
    if (image !== undefined || question !== undefined) {
      throw new ConfigError("--cases has its own pictures and questions: leave --image and --question out");
    }
    if (out === undefined) throw new ConfigError("--cases makes a page: name its folder with --out");
    return readCases(cases);
  }
  if (image === undefined || question === undefined) {
    throw new ConfigError("give a picture with --image and a question with --question, or many with --cases");
  }
  return [{ image, question, picture: await readPicture("--image", image) }];
}

const caseFile = z.array(z.object({ image: z.string(), question: z.string().min(1) })).min(1);

async function readCases(file: string): Promise<Question[]> {
  let content: unknown;
  try {
    content = JSON.parse(readText(file));
  } catch (error) {
    throw new ConfigError(`--cases ${file} cannot be read as JSON: ${(error as Error).message}`, { cause: error });
  }
  const read = caseFile.safeParse(content);
  if (!read.success) {
    const { path, message } = read.error.issues[0]!;
    throw new ConfigError(
      `--cases ${file}: ${path.join(".") || "the whole"}: ${message}; it must be an array of {image, question}`,
    );
  }
  return Promise.all(
    read.data.map(async ({ image, question }) => ({
      image,
      question,
      picture: await readPicture(`--cases ${file}:`, resolve(dirname(file), image)),
    })),
  );
}

function look(model: ChatModel, checkpoint: string, { picture, question }: Question, options: AttentionOptions) {
  try {
    const attended = attendToPicture(model, picture, question, options);
    attended.before.mean(options.layers, options.heads); // refuses what the model doesn't have
    return { checkpoint, model: model.name, attended };
  } catch (error) {
    if (error instanceof DataError) throw new ConfigError(`${checkpoint}: ${error.message}`, { cause: error });
    throw error;
  }
}

function summaryOf({ image, question, seen }: Looked, { layers, heads, at }: AttentionOptions) {
  const [first, second] = seen.map(({ checkpoint, attended }) => {
    const { answer, grid } = attended;
    const mean = attended[at].mean(layers, heads);
    return {
      checkpoint,
      answer,
      grid: [grid.rows, grid.columns],
      onPicture: mean.reduce((sum, value) => sum + value, 0),
      attention: mean,
      byLayer: attended[at].byLayer(heads),
    };
  });
  return { image, question, at, layers, heads, ...first!, ...(second && { baseline: second }) };
}

/** What is written of a question. */
const caseFiles = ["overlay.png", "attention.json", "attention.safetensors"] as const;

type Found = { looked: Looked; summary: ReturnType<typeof summaryOf> };

async function writeAll(out: string, found: readonly Found[], options: AttentionOptions): Promise<void> {
  await mkdir(out, { recursive: true });
  const shown: ShownCase[] = [];
  for (const [index, { looked, summary }] of found.entries()) {
    const folder = options.cases === undefined ? out : join(out, `case-${index + 1}`);
    await mkdir(folder, { recursive: true });
    const figure = figureOf(looked, options);
    const png = await attentionPng(figure);
    const [overlay, json, weights] = caseFiles;
    await writeFile(join(folder, overlay), png);
    await writeFile(join(folder, json), `${JSON.stringify(summary, null, 2)}\n`);
    writeWeights(join(folder, weights), looked);
    shown.push(await shownCase(figure));
  }
  const words = (of: Chosen) => (of === "mean" ? "mean of all" : of.join(", "));
  const page = attentionPage(shown, { at: options.at, layers: words(options.layers), heads: words(options.heads) });
  await writeFile(join(out, "index.html"), page);
}

function figureOf({ image, picture, question, seen }: Looked, { at, layers, heads }: AttentionOptions): AttentionCase {
  const sides = seen.map(({ model, attended }) => ({
    model,
    answer: attended.answer,
    grid: attended.grid,
    attention: attended[at].mean(layers, heads),
  }));
  return { image: basename(image), picture, question, sides };
}

/** `before`, `after` and, of the other model, `baseline.before`, `baseline.after`: (layers, heads, rows, columns). */
function writeWeights(file: string, { seen }: Looked): void {
  tidy(() => {
    const tensors = seen.flatMap(({ attended }, index) =>
      (["before", "after"] as const).map((at) => {
        const { layers, heads, values } = attended[at];
        const shape = [layers, heads, attended.grid.rows, attended.grid.columns];
        return [`${index === 0 ? "" : "baseline."}${at}`, tensor(values, { shape })] as const;
      }),
    );
    writeSafetensors(file, new Map(tensors));
  });
}

function drawn({ question, seen }: Looked, { at, layers, heads }: AttentionOptions): string {
  const maps = seen.map(({ model, attended }) => {
    const named = seen.length > 1 ? `${model}: ` : "";
    return `${named}${question} ${attended.answer}\n${draw(attended[at].mean(layers, heads), attended.grid.columns)}`;
  });
  return maps.join("\n");
}

function draw(attention: readonly number[], columns: number): string {
  const most = Math.max(...attention);
  const cell = (value: number) =>
    SHADES[Math.min(SHADES.length - 1, Math.floor((value / most) * SHADES.length))]!.repeat(4);
  const rows = Array.from({ length: attention.length / columns }, (_, row) =>
    attention.slice(row * columns, (row + 1) * columns),
  );
  return rows.map((row) => `${row.map(cell).join("")}\n`.repeat(2)).join("");
}
