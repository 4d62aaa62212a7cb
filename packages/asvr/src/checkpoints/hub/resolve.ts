import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathFrom, userCache } from "@asvr/torch/files";
import { datasetInfo, HUB_URL, HubApiError, listFiles, modelInfo, type RepoId } from "@huggingface/hub";
import { ConfigError, DataError } from "../../errors.js";
import { outgoingFetch, proxyFor, withoutPassword } from "../../outgoing.js";
import { filesToFetch } from "./choose-files.js";
import { fetchFile, type HubFile } from "./fetch-file.js";

export interface HubOptions {
  /** A branch, a tag or a commit; default `main`. A commit never changes. */
  readonly revision?: string;
  /** Take what the cache has and ask nobody. Default: as HF_HUB_OFFLINE says. */
  readonly offline?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: HubProgress) => void;
  /** Default: HF_TOKEN, or the token that `hf auth login` left. */
  readonly accessToken?: string;
  /** Default: HF_ENDPOINT, or the hub. */
  readonly hubUrl?: string;
  /** Default: where Python's huggingface_hub keeps its files (HF_HUB_CACHE, HF_HOME). */
  readonly cacheDir?: string;
}

export interface HubProgress {
  readonly file: string;
  /** Of all files that are fetched, in bytes. */
  readonly done: number;
  readonly total: number;
}

const HUB_ID = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;
const REVISION = /^[\w-][\w./-]*$/;
const COMMIT = /^[0-9a-f]{40}$/;
/** Of a file's content: of Git (SHA-1), or of a large file (SHA-256). */
const CONTENT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/**
 * The folder of a checkpoint: a path as it is, or a hub id (`owner/name`, or `owner/name@revision`), whose files are
 * fetched into the cache that Python's huggingface_hub uses, or found there. A broken download is gone on with.
 * @throws ConfigError for what is neither, and offline, when the cache lacks it: with what to do
 * @throws DataError for a file that is not what the repository says
 */
export async function resolveCheckpoint(pathOrId: string, options: HubOptions = {}): Promise<string> {
  if (existsSync(pathOrId)) return resolve(pathOrId);
  const model = { type: "model", nothing: "no configuration and no weights", choose: filesToFetch } as const;
  try {
    return await snapshotOf(model, pathOrId, options);
  } catch (error) {
    if (!(error instanceof ConfigError) || !isHubId(pathOrId)) throw error;
    // A path that was mistyped often looks like a hub id.
    throw new ConfigError(`there is no file or folder ${resolve(pathOrId)}. As a hub id: ${error.message}`, {
      cause: error,
    });
  }
}

/**
 * The folder of a data set (`owner/name`, or `owner/name@revision`) in the same cache, with the files of it that are
 * wanted. Offline, what is there of it is all there is.
 * @param choose of all paths of the repository, those that are wanted
 * @throws ConfigError and DataError as `resolveCheckpoint`, and ConfigError when it has none of the wanted files
 */
export async function resolveDataset(
  id: string,
  choose: (paths: readonly string[]) => readonly string[],
  options: HubOptions = {},
): Promise<string> {
  const chosen = (files: readonly HubFile[]) => {
    const wanted = new Set(choose(files.map(({ path }) => path)));
    return files.filter(({ path }) => wanted.has(path));
  };
  return snapshotOf({ type: "dataset", nothing: "none of the files that are wanted", choose: chosen }, id, options);
}

function isHubId(text: string): boolean {
  const [id = ""] = text.split("@");
  return HUB_ID.test(id) && !id.includes("..");
}

/** What is fetched of a repository. */
interface Wanted {
  readonly type: "model" | "dataset";
  /** What is said where there is nothing to choose. */
  readonly nothing: string;
  readonly choose: (files: readonly HubFile[]) => readonly HubFile[];
}

type Named = HubOptions & { readonly revision: string };

async function snapshotOf(wanted: Wanted, idAtRevision: string, given: HubOptions): Promise<string> {
  const [id = "", inId] = idAtRevision.split("@");
  if (!isHubId(idAtRevision)) {
    throw new ConfigError(
      `${idAtRevision} does not exist, and is no hub id (owner/name, or owner/name@revision) either`,
    );
  }
  const revision = given.revision ?? inId ?? "main";
  if (!REVISION.test(revision) || revision.includes("..")) {
    throw new ConfigError(`${id}: ${JSON.stringify(revision)} is no name of a branch, a tag or a commit`);
  }
  const options = { ...given, revision };
  const { cacheDir = hubCache() } = options;
  const folder = join(cacheDir, `${wanted.type}s--${id.replace("/", "--")}`);
  const offline = options.offline ?? isOffline();
  const cached = await cachedSnapshot(folder, revision);
  if (offline) {
    if (cached) return cached;
    throw new ConfigError(
      `${id} (${revision}) is not in ${cacheDir}, and HF_HUB_OFFLINE forbids to fetch it. Fetch it where there is a network, and copy that folder here, or give the path of a local folder.`,
    );
  }
  try {
    return await fetchSnapshot(wanted, id, folder, options);
  } catch (error) {
    if (isUnreachable(error)) {
      if (cached) return cached;
      throw new ConfigError(
        `${id} is not in ${cacheDir}, and ${unreachable(error, options)}. Give the path of a local folder, or fetch it where there is a network.`,
        { cause: error },
      );
    }
    throw explained(error, id, revision);
  }
}

async function fetchSnapshot({ type, nothing, choose }: Wanted, id: string, folder: string, options: Named) {
  const { revision, signal, onProgress } = options;
  const access = { hubUrl: hubUrlOf(options), accessToken: await tokenOf(options), fetch: outgoingFetch };
  const repo: RepoId = { type, name: id };
  const named = { ...access, name: id, revision, additionalFields: ["sha"] as "sha"[] };
  const { sha: commit } = await (type === "model" ? modelInfo(named) : datasetInfo(named));
  const files: HubFile[] = [];
  for await (const entry of listFiles({ ...access, repo, revision: commit, recursive: type === "dataset" })) {
    if (entry.type === "file") files.push(entry as HubFile);
  }
  const wanted = choose(files);
  // All become names of files here.
  if (!COMMIT.test(commit) || wanted.some(({ oid, lfs }) => !CONTENT.test(lfs?.oid ?? oid))) {
    throw new DataError(`${id}: the hub's answer names a commit or a content that is no hash`);
  }
  const outside = wanted.find(({ path }) => !isInside(path));
  if (outside) throw new DataError(`${id}: the hub lists ${JSON.stringify(outside.path)}, which leads out of it`);
  if (wanted.length === 0) throw new ConfigError(`${id} (${revision}) holds ${nothing}`);
  const total = wanted.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  for (const file of wanted) {
    const onBytes = (bytes: number) => onProgress?.({ file: file.path, done: before + bytes, total });
    await fetchFile(folder, file, { repo, commit, ...access, signal, onBytes });
    before += file.size;
  }
  // The name of the revision last: it leads to a complete snapshot.
  if (revision !== commit) await writeReference(folder, revision, commit);
  return join(folder, "snapshots", commit);
}

function isInside(path: string): boolean {
  return !path.split(/[\\/]/).some((part) => part === "" || part === "." || part === "..");
}

async function writeReference(folder: string, revision: string, commit: string): Promise<void> {
  const reference = join(folder, "refs", ...revision.split("/"));
  await mkdir(dirname(reference), { recursive: true });
  await writeFile(reference, commit);
}

/** The snapshot that the cache has of a revision. */
async function cachedSnapshot(folder: string, revision: string): Promise<string | undefined> {
  const reference = join(folder, "refs", ...revision.split("/"));
  const isReference = !COMMIT.test(revision) && existsSync(reference);
  const commit = isReference ? (await readFile(reference, "utf8")).trim() : revision;
  if (!COMMIT.test(commit)) return undefined;
  const snapshot = join(folder, "snapshots", commit);
  return existsSync(snapshot) ? snapshot : undefined;
}

function isOffline(): boolean {
  return /^(?:1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? "");
}

/** Where Python's huggingface_hub keeps what it has. */
function hubHome(): string {
  return pathFrom("HF_HOME") ?? join(userCache(), "huggingface");
}

function hubCache(): string {
  return pathFrom("HF_HUB_CACHE") ?? pathFrom("HUGGINGFACE_HUB_CACHE") ?? join(hubHome(), "hub");
}

function hubUrlOf({ hubUrl }: HubOptions): string | undefined {
  return hubUrl ?? (process.env.HF_ENDPOINT || undefined);
}

async function tokenOf({ accessToken }: HubOptions): Promise<string | undefined> {
  const given = accessToken ?? process.env.HF_TOKEN;
  if (given) return given;
  const file = pathFrom("HF_TOKEN_PATH") ?? join(hubHome(), "token");
  return existsSync(file) ? (await readFile(file, "utf8")).trim() || undefined : undefined;
}

/** Nobody answered: no name, no route, a connection that broke. */
function isUnreachable(error: unknown): boolean {
  return error instanceof TypeError && error.message === "fetch failed";
}

/** What is said where nobody answered: a proxy is named, since it may be what doesn't. */
function unreachable(error: unknown, options: HubOptions): string {
  const proxy = proxyFor(hubUrlOf(options) ?? HUB_URL);
  return `the hub can't be reached${proxy ? ` through the proxy ${withoutPassword(proxy)}` : ""} (${reasonOf(error)})`;
}

/** The innermost cause says what happened. */
function reasonOf(error: unknown): string {
  const { cause, code, message } = error as { cause?: unknown; code?: unknown; message: string };
  if (cause instanceof Error) return reasonOf(cause);
  return typeof code === "string" ? code : message;
}

function explained(error: unknown, id: string, revision: string): unknown {
  if (!(error instanceof HubApiError)) return error;
  const { statusCode } = error;
  if (statusCode === 401 || statusCode === 403) {
    return new ConfigError(
      `the hub refuses ${id} (${statusCode}): it is gated, private, or not there. Ask for access on its page, and set HF_TOKEN.`,
      { cause: error },
    );
  }
  if (statusCode === 404) {
    return new ConfigError(`the hub has no ${id} with a revision "${revision}"`, { cause: error });
  }
  return new ConfigError(`the hub answered ${statusCode} for ${id}: ${error.message}`, { cause: error });
}
