// A hub on the loopback with one repository, for the calls that fetching a checkpoint makes.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Repository {
  readonly id: string;
  readonly commit: string;
  /** A data set, and not a model. */
  readonly isDataset?: boolean;
  readonly files: ReadonlyMap<string, Buffer>;
}

export class FakeHub implements AsyncDisposable {
  readonly requests: string[] = [];
  /** Ends the connection after so many bytes of a large file, once. */
  breakAfter: number | undefined;
  /** Sends other bytes than it lists. */
  corrupt = false;
  /** Wants this token. */
  token: string | undefined;
  readonly #server: Server;

  private constructor(readonly repository: Repository) {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(repository: Repository): Promise<FakeHub> {
    const hub = new FakeHub(repository);
    await new Promise<void>((resolve) => hub.#server.listen(0, "127.0.0.1", resolve));
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url!, this.url);
    this.requests.push(`${request.method} ${pathname}${request.headers.range ? ` ${request.headers.range}` : ""}`);
    const { id, commit, files, isDataset } = this.repository;
    const [place, api] = isDataset ? [`/datasets/${id}`, `/api/datasets/${id}`] : [`/${id}`, `/api/models/${id}`];
    const [, name] = new RegExp(`^${place}/resolve/${commit}/(.+)$`).exec(pathname) ?? [];
    const content = files.get(decodeURIComponent(name ?? ""));
    if (this.token && request.headers.authorization !== `Bearer ${this.token}`) fail(response, 401);
    else if (new RegExp(`^${api}/revision/(main|${commit})$`).test(pathname)) {
      json(response, { _id: "1", id, sha: commit, private: false });
    } else if (pathname === `${api}/tree/${commit}`) json(response, [...files].map(entry));
    else if (content) this.#send(request, response, this.corrupt ? Buffer.from(content).reverse() : content);
    else fail(response, 404);
  }

  #send(request: IncomingMessage, response: ServerResponse, content: Buffer): void {
    const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const part = content.subarray(Number(from), to === "" ? undefined : Number(to) + 1);
    response.writeHead(request.headers.range ? 206 : 200, {
      "content-length": part.length,
      "content-range": `bytes ${from}-${Number(from) + part.length - 1}/${content.length}`,
      etag: `"${sha(content, "sha1")}"`,
    });
    if (this.breakAfter !== undefined && part.length > this.breakAfter) {
      response.write(part.subarray(0, this.breakAfter), () => setTimeout(() => response.destroy(), 50));
      this.breakAfter = undefined;
    } else response.end(part);
  }
}

function entry([path, content]: [string, Buffer]) {
  const oid = sha(Buffer.concat([Buffer.from(`blob ${content.length}\0`), content]), "sha1");
  const lfs = content.length > 1000 && { lfs: { oid: sha(content, "sha256"), size: content.length, pointerSize: 100 } };
  return { type: "file", path, size: content.length, oid, ...lfs };
}

function sha(content: Buffer, algorithm: "sha1" | "sha256"): string {
  return createHash(algorithm).update(content).digest("hex");
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function fail(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ error: "no" }));
}
