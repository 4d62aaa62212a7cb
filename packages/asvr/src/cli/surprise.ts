import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { tensor, tidy, writeSafetensors } from "@asvr/torch";
import sharp from "sharp";
import { type NearPicture, nearestPictures } from "../analysis/nearest-pictures.js";
import { type PictureSurprise, pictureSurprise } from "../analysis/surprise.js";
import { openChatModel } from "../chat/open.js";
import { RunChat } from "../chat/run-chat.js";
import type { VisualGrid } from "../chat/visual-grid.js";
import { ConfigError, DataError } from "../errors.js";
import { placeOf } from "../figures/page.js";
import {
  average,
  regionPng,
  type SurpriseFigure,
  type SurpriseSection,
  summed,
  surprisePage,
  surprisePng,
} from "../figures/surprise-figure.js";
import { layout } from "../parts/layout.js";
import { readRecipe, studyOf } from "../parts/start.js";
import { printJson, tellWritten } from "./options.js";
import { readPicture } from "./picture.js";
import { print } from "./printable.js";

export interface SurpriseOptions {
  image: string;
  question: string;
  cell: readonly string[];
  nearest: number;
  out?: string;
  json: boolean;
}

/** Pixels of a near picture's side. */
const THUMBNAIL = 96;

interface Near {
  /** From 1; absent: the whole picture. */
  cell?: [row: number, column: number];
  pictures: NearPicture[];
}

/** Prints how well a run expects the codes of a picture, or writes it as maps. */
export async function surprise(run: string, options: SurpriseOptions): Promise<void> {
  const { image, question, out, json } = options;
  await readRecipe(run); // a published model has no head that predicts codes
  const study = await studyOf(run);
  const picture = await readPicture("--image", image);
  using chat = await openChatModel(run);
  if (!(chat instanceof RunChat)) throw new ConfigError(`${run} is not the folder of a run`);
  const grid = chat.grid(picture);
  const cells = options.cell.map((text) => cellOf(text, grid));
  const maps = pictureSurprise(chat, picture, question);
  const found = await Promise.all(
    maps.map(async (map) => ({ map, nearest: await nearestTo(study, chat, map, { ...options, cells, grid }) })),
  );
  const summary = {
    run,
    image,
    question,
    alignment: chat.row.model.alignment,
    grid: [grid.rows, grid.columns],
    targets: found.map(({ map, nearest }) => ({ ...summaryOf(map), nearest })),
  };
  if (out !== undefined) {
    const sections = await Promise.all(
      found.map(({ map, nearest }) => {
        const figure = { run: chat.name, image: basename(image), picture, grid, surprise: map };
        return writeMaps(out, study, figure, nearest);
      }),
    );
    await writeFile(join(out, "index.html"), surprisePage(sections, { question }));
    await writeFile(join(out, "surprise.json"), `${JSON.stringify(summary, null, 2)}\n`);
    writeArrays(join(out, "surprise.safetensors"), maps, grid);
  }
  if (json) printJson(summary);
  else print(maps.map(inWords).join(""));
  if (out !== undefined) {
    const drawn = maps.map(({ target }) => `${target}-….png`);
    tellWritten(out, ["index.html", "surprise.json", "surprise.safetensors", ...drawn], json);
  }
}

/** "2,3": row and column from 1, as a position. */
function cellOf(text: string, { rows, columns }: VisualGrid): number {
  const [row, column, ...more] = text.split(",").map(Number);
  const isInside = (value: number | undefined, count: number) =>
    value !== undefined && Number.isInteger(value) && value >= 1 && value <= count;
  if (more.length > 0 || !isInside(row, rows) || !isInside(column, columns)) {
    throw new ConfigError(`--cell is ${JSON.stringify(text)}; give ROW,COLUMN, up to ${rows},${columns}`);
  }
  return (row! - 1) * columns + column! - 1;
}

async function nearestTo(
  study: string,
  chat: RunChat,
  { target, predicted }: PictureSurprise,
  {
    image,
    nearest: count,
    cells,
    grid,
  }: { image: string; nearest: number; cells: readonly number[]; grid: VisualGrid },
): Promise<Near[]> {
  if (count === 0) return [];
  const { parts, model, recipe } = chat.row;
  const near: Near[] = [];
  const bytes = await readFile(image);
  // The picture itself is in the study, as a rule, under its own name or a copy's.
  const isItself = (other: string) => {
    const file = join(layout.data(study), other);
    return existsSync(file) && statSync(file).size === bytes.length && readFileSync(file).equals(bytes);
  };
  for (const position of [undefined, ...cells]) {
    const where = position === undefined ? {} : { position };
    const options = { recipe, target, count, device: model.device, leaveOut: isItself, ...where };
    const pictures = await nearestPictures(study, parts[target], predicted, options);
    if (position === undefined) near.push({ pictures });
    else near.push({ cell: [Math.floor(position / grid.columns) + 1, (position % grid.columns) + 1], pictures });
  }
  return near;
}

function summaryOf(map: PictureSurprise) {
  const { target, codebookSize, nats, right, predicted } = map;
  return {
    target,
    codebookSize,
    /** Nats of a code that is guessed. */
    uniform: Math.log(codebookSize),
    mean: average(nats.flat()),
    meanByDepth: nats.map(average),
    rightByDepth: right.map((count) => count / nats[0]!.length),
    nats,
    sum: summed(map),
    predicted,
  };
}

async function writeMaps(
  out: string,
  study: string,
  figure: SurpriseFigure,
  nearest: readonly Near[],
): Promise<SurpriseSection> {
  await mkdir(out, { recursive: true });
  const { nats, target } = figure.surprise;
  const sum = await surprisePng(figure);
  const depths = await Promise.all(nats.map((_, depth) => surprisePng(figure, depth)));
  await writeFile(join(out, `${target}-sum.png`), sum);
  for (const [depth, png] of depths.entries()) await writeFile(join(out, `${target}-depth-${depth + 1}.png`), png);
  const drawn = await Promise.all(
    nearest.map(async ({ cell, pictures }) => ({
      what: cell
        ? placeOf((cell[0] - 1) * figure.grid.columns + cell[1] - 1, figure.grid.columns)
        : "the whole picture",
      pictures: await Promise.all(
        pictures.map(async (one) => ({ ...one, png: await thumbnail(join(layout.data(study), one.image)) })),
      ),
    })),
  );
  return { figure, region: await regionPng(figure), nearest: drawn };
}

async function thumbnail(file: string): Promise<Buffer> {
  try {
    return await sharp(file).resize(THUMBNAIL, THUMBNAIL, { fit: "contain", kernel: "nearest" }).png().toBuffer();
  } catch (error) {
    throw new DataError(`${file}, whose codes the study has, cannot be read: ${(error as Error).message}`, [], {
      cause: error,
    });
  }
}

/** `TARGET.nats` (D, rows, columns), `TARGET.predicted` (rows, columns, D). */
function writeArrays(file: string, maps: readonly PictureSurprise[], { rows, columns }: VisualGrid): void {
  tidy(() => {
    const tensors = maps.flatMap(({ target, nats, predicted }) => {
      const depth = nats.length;
      const map = tensor(Float32Array.from(nats.flat()), { shape: [depth, rows, columns] });
      const codes = tensor(Int32Array.from(predicted.flat()), { shape: [rows, columns, depth] });
      return [[`${target}.nats`, map] as const, [`${target}.predicted`, codes] as const];
    });
    writeSafetensors(file, new Map(tensors));
  });
}

function inWords(map: PictureSurprise): string {
  const { target, uniform, mean, meanByDepth, rightByDepth } = summaryOf(map);
  const depths = meanByDepth.map(
    (value, depth) =>
      `  depth ${depth + 1}: ${value.toFixed(3)} nats, ${(100 * rightByDepth[depth]!).toFixed(1)}% right`,
  );
  return `${target} codes: ${mean.toFixed(3)} nats a code, ${uniform.toFixed(3)} where they are guessed\n${depths.join("\n")}\n`;
}
