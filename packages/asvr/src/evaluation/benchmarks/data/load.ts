/** Questions of a benchmark out of a folder, and an account of what is missing. */
import { z } from "zod";
import { requireWithinBudget } from "../../../data/faults.js";
import { ConfigError, DataError } from "../../../errors.js";
import type { Fault } from "../../../fault.js";
import { groupBy } from "../../record-scores.js";
import type { Benchmark, DataSource, Shape } from "../benchmark.js";
import { findConfig, findFiles } from "./find.js";
import { filePicture } from "./picture-value.js";
import { ChunkCache, openTable, type Picture, type Table, type TableOptions, type Unfound } from "./table.js";

/** A question that can be asked. */
export interface BenchmarkQuestion {
  id: string;
  question: object;
  /** Of its row among all rows of the split, from 0. */
  place: number;
  /** At least one, the first one first. */
  pictures: Picture[];
  cluster: string;
}

/** How much of the published data is there. */
export interface Coverage {
  /** Questions that the benchmark has; null: nobody has counted. */
  expected: number | null;
  /** `expected` is about right only. */
  about: boolean;
  found: number;
  /** Rows left out since something in them is wrong, among them those without their picture. */
  bad: number;
  missingPictures: number;
  missingShards: string[];
  /** Only this many were wanted. */
  limit: number | null;
}

export interface LoadedBenchmark {
  benchmark: Benchmark;
  split: string;
  /** Where the files are. */
  folder: string;
  questions: BenchmarkQuestion[];
  coverage: Coverage;
}

export interface LoadBenchmarkOptions {
  /** Another split than the one that is scored. */
  split?: string;
  /** The first so many questions; what hangs together is kept whole. */
  limit?: number;
  /** Whether files may lie in the folder itself: only where nothing else does. */
  flat?: boolean;
  /** Faulty rows that may be left out. */
  maxBad?: number;
}

/**
 * Every question of a split, in order. Pictures are looked at, but not kept.
 * @throws ConfigError when there are no files; DataError when more than `maxBad` rows are faulty, when columns are
 * missing, or when groups that count together are not whole
 */
export async function loadBenchmark(
  benchmark: Benchmark,
  dataFolder: string,
  { split, limit, flat = true, maxBad = 0 }: LoadBenchmarkOptions = {},
): Promise<LoadedBenchmark> {
  const data = sourceOf(benchmark, split);
  const { files, folder, imagesFolder, missingShards } = findFiles(dataFolder, benchmark.name, data, flat);
  const options = { pictures: data.pictures, imagesFolder, cache: new ChunkCache() };
  const joined = data.join && (await joinedPictures(data.join, folder, options));
  const questions: BenchmarkQuestion[] = [];
  const faults: Fault[] = [];
  const seen = new Set<string>();
  const known = new Map<string, Picture>();
  let rows = 0;
  let position = 0;
  for (const file of files) {
    const table = await openTable(file, options);
    const shape = shapeOf(benchmark, table);
    for await (const { index, values } of table.rows()) {
      const place = position++;
      if (data.keep && !data.keep(values)) continue;
      rows++;
      const fault = (kind: Fault["kind"], field: string, message: string) =>
        void faults.push({ file, index, field, kind, message });
      try {
        const { id, question, picturePath } = shape.read(values, place);
        if (seen.has(id)) {
          fault("duplicate-id", "id", `${JSON.stringify(id)} names an earlier row too.`);
          continue;
        }
        seen.add(id);
        const shown = shownBy(values, data, joined);
        const pictures = shown.filter(isPicture).map((picture) => firstOf(known, picture));
        const unfound = shown.find((one) => !isPicture(one));
        if (pictures.length === 0 && picturePath !== undefined) {
          const picture = filePicture(imagesFolder, picturePath);
          if (picture) pictures.push(picture);
        }
        const [first] = pictures;
        if (!first) {
          const why = unfound && "unfound" in unfound ? unfound.unfound : "the row has no picture that can be found.";
          fault("missing-image", data.pictures[0]!, why);
        } else questions.push({ id, question, place, pictures, cluster: benchmark.cluster(question, id, first.key) });
      } catch (error) {
        if (!(error instanceof z.ZodError)) throw error;
        for (const issue of error.issues) fault("wrong-shape", issue.path.join("."), `${issue.message}.`);
      }
    }
  }
  requireWithinBudget(faults, rows, maxBad, `rows of ${benchmark.title}`);
  requireWholeGroups(benchmark, questions, faults);
  const chosen = limit === undefined ? questions : firstClusters(questions, limit);
  const coverage: Coverage = {
    expected: expectedRows(benchmark, split, rows),
    about: data.about ?? false,
    found: rows,
    bad: rows - questions.length,
    missingPictures: faults.filter(({ kind }) => kind === "missing-image").length,
    missingShards,
    limit: chosen.length < questions.length ? chosen.length : null,
  };
  return { benchmark, split: data.split, folder, questions: chosen, coverage };
}

/** Why the questions are not all of the benchmark; empty when they are. */
export function missingFrom({
  expected,
  about,
  found,
  bad,
  missingPictures,
  missingShards,
  limit,
}: Coverage): string[] {
  const reasons: string[] = [];
  if (expected !== null && !about && found !== expected) reasons.push(`${found} rows instead of ${expected}`);
  // Of an uncounted set a tenth may be a miscount; more is not.
  if (expected !== null && about && Math.abs(found - expected) > expected / 10) {
    reasons.push(`${found} rows, where about ${expected} are known`);
  }
  if (missingShards.length > 0) reasons.push(`${missingShards.length} files are missing: ${missingShards.join(", ")}`);
  if (missingPictures > 0) reasons.push(`${missingPictures} rows without their picture`);
  if (bad > missingPictures) reasons.push(`${bad - missingPictures} faulty rows left out`);
  if (limit !== null) reasons.push(`only ${limit} questions were asked for`);
  return reasons;
}

/** Where a split's rows are. @throws ConfigError for a split that there isn't */
export function sourceOf({ name, data }: Benchmark, split: string | undefined): DataSource {
  if (split === undefined || split === data.split) return data;
  const { unanswered = {} } = data;
  if (!Object.hasOwn(unanswered, split)) {
    const splits = [data.split, ...Object.keys(unanswered)].join(" or ");
    throw new ConfigError(`${name} has no split ${JSON.stringify(split)} here; it must be ${splits}`);
  }
  const { files: _files, ...rest } = data;
  return { ...rest, split };
}

function expectedRows({ data }: Benchmark, split: string | undefined, found: number): number | null {
  if (split !== undefined && split !== data.split) return data.unanswered?.[split] ?? null;
  return data.otherRows?.includes(found) ? found : data.rows;
}

function shapeOf(benchmark: Benchmark, { file, columns }: Table): Shape<object> {
  const missing = benchmark.shapes.map((shape) => shape.columns.filter((column) => !columns.includes(column)));
  const fitting = missing.findIndex((names) => names.length === 0);
  if (fitting >= 0) return benchmark.shapes[fitting]!;
  const nearest = missing.reduce((best, names) => (names.length < best.length ? names : best));
  throw new DataError(
    `${file}: these columns of ${benchmark.title} are missing: ${nearest.join(", ")}; there are ${columns.join(", ")}. ` +
      "It may be another revision of the data set.",
  );
}

async function joinedPictures(
  { config, key, picture }: NonNullable<DataSource["join"]>,
  folder: string,
  options: TableOptions,
): Promise<Map<string, Picture>> {
  const found = new Map<string, Picture>();
  for (const file of findConfig(folder, config)) {
    const table = await openTable(file, { ...options, pictures: [picture] });
    for await (const { values } of table.rows()) {
      const value = values[picture] as Picture | Unfound | null;
      if (value && isPicture(value)) found.set(String(values[key]), value);
    }
  }
  return found;
}

/** What a row's picture columns lead to: its own pictures, else that of the config that is joined. */
function shownBy(
  values: Readonly<Record<string, unknown>>,
  data: DataSource,
  joined: ReadonlyMap<string, Picture> | undefined,
): (Picture | Unfound)[] {
  type Shown = Picture | Unfound;
  const own = data.pictures.flatMap((column) => (values[column] ?? []) as Shown | Shown[]).filter(Boolean);
  const other = data.join && joined?.get(String(values[data.join.from]));
  return !own.some(isPicture) && other ? [other] : own;
}

function isPicture(shown: Picture | Unfound): shown is Picture {
  return !("unfound" in shown);
}

/** @throws DataError for a pair with one question or three, unless rows were left out knowingly */
function requireWholeGroups(
  { title, whole }: Benchmark,
  questions: readonly BenchmarkQuestion[],
  leftOut: readonly Fault[],
): void {
  if (!whole || leftOut.length > 0) return;
  const groups = groupBy(questions, ({ question, id }) => whole.group(question, id));
  const broken = [...groups].filter(([, group]) => group.length !== whole.size);
  if (broken.length === 0) return;
  const [[name, group] = ["", []]] = broken;
  throw new DataError(
    `${title}: ${broken.length} of ${groups.size} groups do not have ${whole.size} questions; ${name} has ${group.length}. ` +
      "Fetch the data again.",
  );
}

/** Of pictures with the same content the one met first: its bytes are read from one place. */
function firstOf(known: Map<string, Picture>, picture: Picture): Picture {
  const first = known.get(picture.key) ?? picture;
  known.set(picture.key, first);
  return first;
}

/** Whole clusters, in the order of their first question, until there are `limit` questions or a few more. */
function firstClusters(questions: readonly BenchmarkQuestion[], limit: number): BenchmarkQuestion[] {
  const chosen = new Set<string>();
  const sizes = groupBy(questions, ({ cluster }) => cluster);
  let count = 0;
  for (const [cluster, group] of sizes) {
    if (count >= limit) break;
    chosen.add(cluster);
    count += group.length;
  }
  return questions.filter(({ cluster }) => chosen.has(cluster));
}
