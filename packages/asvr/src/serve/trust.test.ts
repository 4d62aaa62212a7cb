import fc from "fast-check";
import { expect, test } from "vitest";
import { raw, start } from "./fixture.js";

/** The status that a request gets, given as its bytes. */
async function statusOf(port: number, lines: readonly string[], body = ""): Promise<number> {
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  const told = await raw(port, `${[...lines, length, "Connection: close"].join("\r\n")}\r\n\r\n${body}`);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(told)?.[1]);
}

const routes: [method: string, path: string][] = [
  ["GET", "/v1/models"],
  ["HEAD", "/v1/models"],
  ["GET", "/v1/models/hf-llava-tiny"],
  ["POST", "/v1/chat/completions"],
  ["POST", "/v1/responses"],
];
const body = JSON.stringify({
  model: "hf-llava-tiny",
  max_tokens: 1,
  messages: [{ role: "user", content: "Hi" }],
});

/** Ways to write a path that a router may take for the same one. */
const spelling = (path: string) =>
  fc
    .record({
      encoded: fc.array(fc.constantFrom("plain", "plain", "%X", "%x", "upper"), {
        minLength: path.length,
        maxLength: path.length,
      }),
      start: fc.constantFrom(
        "",
        "",
        "http://localhost",
        "HTTP://LOCALHOST",
        "http://elsewhere:1",
        "//",
        "/",
        "/.",
        "/v1/..",
      ),
      end: fc.constantFrom("", "", "/", "//", "?", "?a=b", "#", ";", "/.", "%00", "%2f", "\\"),
      doubled: fc.boolean(),
    })
    .map(({ encoded, start, end, doubled }) => {
      const letters = [...path].map((letter, index) => {
        const hex = letter.charCodeAt(0).toString(16);
        const as = encoded[index];
        if (as === "upper") return letter.toUpperCase();
        return as === "%X" ? `%${hex.toUpperCase()}` : as === "%x" ? `%${hex}` : letter;
      });
      const written = letters.join("");
      return `${start}${doubled ? written.replaceAll("/", "//") : written}${end}`;
    });

test("without the token nothing is answered, however the path is written", async () => {
  const { port, engine } = await start({ token: "s3cret" });
  const head = ["Host: localhost", "Content-Type: application/json"];
  const refused = new Set<number>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...routes).chain(([method, path]) => fc.tuple(fc.constant(method), spelling(path))),
      async ([method, target]) => {
        const status = await statusOf(port, [`${method} ${target} HTTP/1.1`, ...head], method === "POST" ? body : "");
        refused.add(status);
        expect([400, 401, 404]).toContain(status);
      },
    ),
    {
      numRuns: 300,
      examples: [
        [["POST", "/%76%31/chat/completions"]],
        [["GET", "http://x/v1/models"]],
        [["GET", "//v1/models"]],
        [["GET", "/V1/models"]],
        [["GET", "/v1/models/"]],
      ],
    },
  );
  expect([...refused]).toEqual(expect.arrayContaining([401, 404]));
  expect(engine.pending).toBe(0);
  // The router does take them for the route.
  for (const target of ["/v1/models", "/%76%31/models", "http://localhost/v1/models"]) {
    const status = await statusOf(port, [`GET ${target} HTTP/1.1`, ...head, "Authorization: Bearer s3cret"]);
    expect([target, status]).toEqual([target, 200]);
  }
}, 60_000);

const ask = (port: number, ...headers: string[]) => statusOf(port, ["GET /v1/models HTTP/1.1", ...headers]);

test("on this machine alone, only this machine's names are answered to", async () => {
  const { port } = await start();
  for (const host of [
    "localhost",
    `localhost:${port}`,
    "LOCALHOST",
    "localhost.",
    "127.0.0.1",
    "127.1.2.3:80",
    "[::1]",
  ]) {
    expect([host, await ask(port, `Host: ${host}`)]).toEqual([host, 200]);
    expect(await ask(port, "Host: localhost", `Origin: http://${host}`)).toBe(200);
  }
  const others = [
    "attacker.test",
    "localhost.attacker.test",
    "127.0.0.1.attacker.test",
    "10.0.0.1",
    "[::2]",
    "",
    "a@localhost",
  ];
  for (const host of others) {
    expect([host, await ask(port, `Host: ${host}`)]).toEqual([host, 403]);
    expect([host, await ask(port, "Host: localhost", `Origin: http://${host}`)]).toEqual([host, 403]);
  }
  expect(await ask(port, "Host: localhost", "Origin: null")).toBe(403);
  expect(await raw(port, "GET /health HTTP/1.0\r\nHost: attacker.test\r\n\r\n")).toMatch(
    /^HTTP\/1\.1 403 .*Host is \\"attacker\.test\\", and this server answers to localhost .*--allow-host/s,
  );
});

test("names that are allowed are answered to, others are not", async () => {
  const { port } = await start({ allowHosts: ["model.example.org"] });
  expect(await ask(port, "Host: Model.example.org:443", "Origin: https://model.example.org")).toBe(200);
  expect(await ask(port, "Host: localhost")).toBe(200);
  expect(await ask(port, "Host: example.org")).toBe(403);
});
