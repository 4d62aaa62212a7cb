import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { link, lstat, mkdir, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { downloadFile, type RepoId } from "@huggingface/hub";
import { DataError } from "../../errors.js";

export interface FetchOptions {
  readonly repo: RepoId;
  /** The commit: what is fetched under it never changes. */
  readonly commit: string;
  readonly hubUrl?: string;
  readonly accessToken?: string;
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal;
  /** Bytes of this file so far. */
  readonly onBytes?: (bytes: number) => void;
}

export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Git's name of the content. */
  readonly oid: string;
  readonly lfs?: { readonly oid: string };
}

/**
 * Brings one file into a repository's folder of the cache, as Python's huggingface_hub keeps it: the content under
 * `blobs/`, and a link to it under `snapshots/COMMIT/`. What a broken download left is gone on with; a file is held
 * against its hash before it counts.
 * @throws DataError when the content isn't what the repository says
 */
export async function fetchFile(folder: string, file: HubFile, options: FetchOptions): Promise<void> {
  const pointer = join(folder, "snapshots", options.commit, file.path);
  if (existsSync(pointer)) return;
  const blob = join(folder, "blobs", file.lfs?.oid ?? file.oid);
  if (!existsSync(blob)) await fetchBlob(`${blob}.incomplete`, blob, file, options);
  await mkdir(dirname(pointer), { recursive: true });
  await rm(pointer, { force: true }); // a link whose content is gone
  const target = relative(dirname(pointer), blob);
  await symlink(target, pointer).catch(() => link(blob, pointer)); // file systems without symbolic links
}

async function fetchBlob(incomplete: string, blob: string, file: HubFile, options: FetchOptions): Promise<void> {
  const { repo, commit: revision, hubUrl, accessToken, fetch, signal, onBytes } = options;
  await mkdir(dirname(blob), { recursive: true });
  const found = await downloadFile({ repo, path: file.path, revision, hubUrl, accessToken, fetch });
  if (!found) throw new DataError(`${repo.name}: ${file.path} is listed, but can't be fetched`);
  let have = await sizeOf(incomplete);
  if (have > file.size) {
    await rm(incomplete);
    have = 0;
  }
  onBytes?.(have);
  if (have < file.size) {
    let done = have;
    const counted = new Transform({
      transform(chunk: Buffer, _, next) {
        done += chunk.length;
        onBytes?.(done);
        next(null, chunk);
      },
    });
    const body = Readable.fromWeb(found.slice(have, file.size).stream() as ReadableStream);
    await pipeline(body, counted, createWriteStream(incomplete, { flags: "a" }), { signal });
  } else if (file.size === 0) await pipeline(Readable.from([]), createWriteStream(incomplete));
  await verify(incomplete, file, repo.name);
  await rename(incomplete, blob);
}

/** @throws DataError; the file is deleted then, since going on with it would never end well */
async function verify(incomplete: string, { path, size, oid, lfs }: HubFile, repo: string): Promise<void> {
  const wrong = async (what: string) => {
    await rm(incomplete, { force: true });
    throw new DataError(
      `${repo}: ${path} was fetched, but ${what}. What was fetched is deleted: run the command again.`,
    );
  };
  const found = await sizeOf(incomplete);
  if (found !== size) await wrong(`it has ${found} bytes instead of ${size}`);
  const hash = lfs ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`); // as Git names a content
  await pipeline(createReadStream(incomplete), hash);
  const [is, expected] = [hash.digest("hex"), lfs?.oid ?? oid];
  if (is !== expected) await wrong(`its hash is ${is.slice(0, 12)}… instead of ${expected.slice(0, 12)}…`);
}

async function sizeOf(file: string): Promise<number> {
  const entry = await lstat(file).catch(() => undefined);
  return entry === undefined ? 0 : (await stat(file)).size;
}
