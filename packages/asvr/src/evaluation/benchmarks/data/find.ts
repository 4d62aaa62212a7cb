import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { ConfigError } from "../../../errors.js";
import type { DataSource } from "../benchmark.js";
import type { ImagesFolder } from "./table.js";

/** The files of a benchmark, as found in a folder. */
export interface FoundFiles {
  files: string[];
  folder: string;
  imagesFolder: ImagesFolder;
  /** What the names say is missing: shards of a numbered set. */
  missingShards: string[];
}

/**
 * The files of a split inside `folder`: in a subfolder named as on the hub (`lmms-lab/POPE`, `POPE`, a cache's
 * `datasets--lmms-lab--POPE/snapshots/…`) or as the benchmark (`pope`); or, with `flat`, in the folder itself, where
 * another benchmark's files would be taken for this one's.
 * @throws ConfigError that lists where was looked
 */
export function findFiles(folder: string, name: string, data: DataSource, flat = true): FoundFiles {
  if (!existsSync(folder)) throw new ConfigError(`--data ${folder} does not exist`);
  const looked = [...candidateFolders(folder, name, data), ...(flat ? [folder] : [])];
  for (const candidate of looked.filter(existsSync)) {
    // In a snapshot of a hub's cache there is nothing of other data sets.
    const isShared = candidate === folder && basename(dirname(candidate)) !== "snapshots";
    const files = filesOfSplit(candidate, data, isShared);
    if (files.length === 0) continue;
    return { files, folder: candidate, imagesFolder: imagesFolder(candidate), missingShards: missingShards(files) };
  }
  const wanted = data.files ? data.files.join(" or ") : `${data.split}-*.parquet, ${data.split}.jsonl or *.tsv`;
  throw new ConfigError(
    `${name}: no files of split ${data.split} (${wanted}) in any of ${looked.join(", ")}. Put the data set ${data.hub} there.`,
  );
}

/** The parquet files of another config of the same data set, as GQA's pictures. */
export function findConfig(folder: string, config: string): string[] {
  return listed(folder).filter((file) => isOfConfig(relative(folder, file), config));
}

function isOfConfig(path: string, config: string): boolean {
  return path.endsWith(".parquet") && partsOf(path).includes(config);
}

/** Of the paths of a whole data set those that a split needs: its rows, and the pictures beside them. */
export function pathsToFetch(paths: readonly string[], data: DataSource): string[] {
  const rows = pathsOfSplit([...paths].sort(), data);
  const { join: joined } = data;
  const others = joined ? paths.filter((path) => isOfConfig(path, joined.config)) : [];
  // Parquet and TSV hold their pictures.
  const namesPictures = rows.some((path) => /\.(jsonl?|csv)$/i.test(path));
  const pictures = namesPictures ? paths.filter((path) => /\.(png|jpe?g|webp|gif|bmp)$/i.test(path)) : [];
  return [...rows, ...others, ...pictures];
}

function candidateFolders(folder: string, name: string, { hub, otherHubs = [] }: DataSource): string[] {
  const named = [hub, ...otherHubs].flatMap((id) => {
    const cache = join(folder, `datasets--${id.replaceAll("/", "--")}`, "snapshots");
    const snapshots = existsSync(cache) ? readdirSync(cache).map((revision) => join(cache, revision)) : [];
    return [...snapshots, join(folder, id), join(folder, basename(id))];
  });
  return [...new Set([...named, join(folder, name)])];
}

/** A cache keeps files beside its snapshots, which link to them. */
function imagesFolder(folder: string): ImagesFolder {
  const snapshots = dirname(folder);
  if (basename(snapshots) !== "snapshots") return { root: folder, inside: "" };
  return { root: dirname(snapshots), inside: join("snapshots", basename(folder)) };
}

const DEPTH = 3;

function listed(folder: string, depth = DEPTH): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return depth > 0 ? listed(path, depth - 1) : [];
      return [path];
    })
    .sort();
}

function filesOfSplit(folder: string, data: DataSource, isShared: boolean): string[] {
  const { config, split } = data;
  // Beside a data set's own folders there may be those of others.
  const own = ["data", split, ...(config === undefined ? [] : [config])].map((name) => join(folder, name));
  const all = isShared
    ? [...listed(folder, 0), ...own.filter(existsSync).flatMap((one) => listed(one, 1))]
    : listed(folder);
  const paths = all.map((file) => relative(folder, file));
  return pathsOfSplit(paths, data).map((path) => join(folder, path));
}

/** Of paths inside a data set those with a split's rows. */
function pathsOfSplit(all: readonly string[], { config, split, files: names }: DataSource): string[] {
  const exact = all.filter((file) => names?.includes(basename(file)));
  if (exact.length > 0) return exact.slice(0, 1);
  const ofSplit = all.filter((file) => {
    if (!/\.(parquet|jsonl?|tsv|csv)$/i.test(file)) return false;
    const [stem] = basename(file).split(/[-.]/);
    return stem === split || (/^\d+\.parquet$/.test(basename(file)) && basename(dirname(file)) === split);
  });
  // A folder may hold several configs; where one has the config's name, the others are left.
  const inConfig = ofSplit.filter((file) => config !== undefined && partsOf(file).includes(config));
  const chosen = inConfig.length > 0 ? inConfig : ofSplit;
  const shards = chosen.filter((file) => file.endsWith(".parquet"));
  return shards.length > 0 ? shards : chosen.slice(0, 1);
}

/** Of a path of this machine, or of a repository. */
function partsOf(path: string): string[] {
  return path.split(/[\\/]/);
}

function missingShards(files: readonly string[]): string[] {
  const numbered = files.flatMap((file) => {
    const [, start, number, of] = /^(.*)-(\d{5})-of-(\d{5})/.exec(basename(file)) ?? [];
    return number === undefined ? [] : [{ start: start!, number: Number(number), of: Number(of) }];
  });
  const [first] = numbered;
  if (!first) return [];
  const present = new Set(numbered.map(({ number }) => number));
  const pad = (number: number) => String(number).padStart(5, "0");
  return Array.from({ length: first.of }, (_, number) => number)
    .filter((number) => !present.has(number))
    .map((number) => `${first.start}-${pad(number)}-of-${pad(first.of)}.parquet`);
}
