import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeHub } from "./checkpoints/hub/hub.fixture.js";
import { resolveCheckpoint } from "./checkpoints/hub/resolve.js";
import { ConfigError } from "./errors.js";
import { endpointAnswerer } from "./evaluation/benchmarks/endpoint.js";
import { outgoingFetch, proxyFor } from "./outgoing.js";

beforeEach(() => {
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]) {
    vi.stubEnv(name, "");
    vi.stubEnv(name.toLowerCase(), "");
  }
});
afterEach(() => vi.unstubAllEnvs());

/** A proxy that leads every host to this machine's `port`, as nobody here can reach another. */
async function proxyTo(port: number): Promise<{ url: string; asked: string[] } & AsyncDisposable> {
  const asked: string[] = [];
  const server = createServer();
  server.on("connect", (request: IncomingMessage, socket, head) => {
    asked.push(request.url!);
    const target = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      target.write(head);
      target.pipe(socket).pipe(target);
    });
    for (const end of [target, socket]) end.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const dispose = async () => {
    server.closeAllConnections();
    server.close();
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, asked, [Symbol.asyncDispose]: dispose };
}

async function modelServer(): Promise<{ port: number } & AsyncDisposable> {
  const body = JSON.stringify({ choices: [{ message: { content: "a red ball" } }] });
  const server = createServer((_, response) => response.setHeader("connection", "close").end(body));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const dispose = async () => {
    server.closeAllConnections();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: dispose };
}

test.each(["HTTP_PROXY", "http_proxy", "ALL_PROXY"])(
  "%s is used, and an endpoint's questions go through it",
  async (name) => {
    await using model = await modelServer();
    await using proxy = await proxyTo(model.port);
    vi.stubEnv(name, proxy.url);
    const answerer = endpointAnswerer({ url: "http://model.test:8000/v1", model: "m", retries: 0 });
    const answers = [];
    for await (const answer of answerer.answer([{ id: "1", prompt: "what?", pictures: [], maxNewTokens: 8 }])) {
      answers.push(answer);
    }
    expect(answers).toEqual([{ id: "1", text: "a red ball" }]);
    expect(proxy.asked).toEqual(["model.test:8000"]);
  },
);

test("a checkpoint is fetched through it", async () => {
  const files = new Map([["config.json", Buffer.from("{}")]]);
  await using hub = await FakeHub.start({ id: "someone/tiny", commit: "0".repeat(40), files });
  await using proxy = await proxyTo(Number(new URL(hub.url).port));
  vi.stubEnv("HTTP_PROXY", proxy.url);
  const cacheDir = mkdtempSync(join(tmpdir(), "asvr-proxy-"));
  const folder = await resolveCheckpoint("someone/tiny", { hubUrl: "http://hub.test", cacheDir });
  expect(readdirSync(folder)).toEqual(["config.json"]);
  expect(new Set(proxy.asked)).toEqual(new Set(["hub.test:80"]));
  rmSync(cacheDir, { recursive: true });
});

test("this machine itself and the hosts of NO_PROXY are asked directly", async () => {
  await using model = await modelServer();
  await using proxy = await proxyTo(model.port);
  vi.stubEnv("HTTP_PROXY", proxy.url);
  expect((await outgoingFetch(`http://127.0.0.1:${model.port}/`)).status).toBe(200);
  expect(proxy.asked).toEqual([]);
  vi.stubEnv("HTTPS_PROXY", "proxy.test:3128"); // without a scheme, as curl takes it
  expect(proxyFor("https://huggingface.co/a")).toBe("http://proxy.test:3128/");
  expect(proxyFor("http://[::1]:8000/v1")).toBeUndefined();
  vi.stubEnv("NO_PROXY", "intern.test, .example.org:8443 *.lan");
  const direct = ["https://intern.test/", "https://a.intern.test/", "https://b.example.org:8443/", "http://c.lan/"];
  expect(direct.map(proxyFor)).toEqual(direct.map(() => undefined));
  for (const url of ["https://notintern.test/", "https://b.example.org/", "http://lane/"]) {
    expect(proxyFor(url)).toBeDefined();
  }
  vi.stubEnv("NO_PROXY", "*");
  expect(proxyFor("https://huggingface.co/a")).toBeUndefined();
});

test("a proxy of another kind is refused, by the variable's name", () => {
  vi.stubEnv("ALL_PROXY", "socks5://127.0.0.1:1080");
  expect(() => proxyFor("https://huggingface.co/")).toThrow(ConfigError);
  expect(() => proxyFor("https://huggingface.co/")).toThrow(/ALL_PROXY is "socks5:.*must be http:/);
});
