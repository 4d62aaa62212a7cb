import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { filesToFetch } from "./choose-files.js";
import { FakeHub } from "./hub.fixture.js";
import { type HubProgress, resolveCheckpoint } from "./resolve.js";

const root = mkdtempSync(join(tmpdir(), "asvr-hub-"));
afterAll(() => rmSync(root, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const commit = "0123456789abcdef0123456789abcdef01234567";
const large = randomBytes(300_000);
const repository = {
  id: "someone/tiny-llava",
  commit,
  files: new Map([
    ["config.json", Buffer.from('{"model_type":"llava"}')],
    ["tokenizer.json", Buffer.from("{}")],
    ["model.safetensors", large],
    ["pytorch_model.bin", Buffer.from("the same again")],
    ["README.md", Buffer.from("# A model")],
  ]),
};
const freshCache = () => mkdtempSync(join(root, "cache-"));

test("fetches what a model needs, as Python's cache has it; then asks no more than what the revision is", async () => {
  await using hub = await FakeHub.start(repository);
  const cacheDir = freshCache();
  const seen: HubProgress[] = [];
  const options = { hubUrl: hub.url, cacheDir, onProgress: (progress: HubProgress) => seen.push(progress) };
  const folder = await resolveCheckpoint("someone/tiny-llava", options);
  expect(folder).toBe(join(cacheDir, "models--someone--tiny-llava", "snapshots", commit));
  expect(readdirSync(folder).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
  expect(readFileSync(join(folder, "model.safetensors")).equals(large)).toBe(true);
  expect(readFileSync(join(cacheDir, "models--someone--tiny-llava", "refs", "main"), "utf8")).toBe(commit);
  expect(seen.at(-1)).toMatchObject({ file: "model.safetensors" });
  expect(seen.at(-1)!.done).toBe(seen.at(-1)!.total);

  hub.requests.length = 0;
  expect(await resolveCheckpoint("someone/tiny-llava", options)).toBe(folder);
  expect(hub.requests.filter((line) => line.includes("/resolve/"))).toEqual([]);
  expect(await resolveCheckpoint(`someone/tiny-llava@${commit}`, { cacheDir, offline: true })).toBe(folder);
});

test("a download that broke goes on where it stopped", async () => {
  await using hub = await FakeHub.start(repository);
  const cacheDir = freshCache();
  hub.breakAfter = 100_000;
  await expect(resolveCheckpoint("someone/tiny-llava", { hubUrl: hub.url, cacheDir })).rejects.toThrow();
  const blobs = join(cacheDir, "models--someone--tiny-llava", "blobs");
  const [left] = readdirSync(blobs).filter((name) => name.endsWith(".incomplete"));
  const have = statSync(join(blobs, left!)).size;
  expect(have).toBeGreaterThan(0);
  const folder = await resolveCheckpoint("someone/tiny-llava", { hubUrl: hub.url, cacheDir });
  expect(readFileSync(join(folder, "model.safetensors")).equals(large)).toBe(true);
  expect(hub.requests.some((line) => line.includes(`model.safetensors bytes=${have}-`))).toBe(true);
  expect(readdirSync(blobs).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
});

test("a content that isn't the repository's is deleted, and said", async () => {
  await using hub = await FakeHub.start(repository);
  const cacheDir = freshCache();
  hub.corrupt = true;
  await expect(resolveCheckpoint("someone/tiny-llava", { hubUrl: hub.url, cacheDir })).rejects.toThrow(
    /config\.json was fetched, but its hash is .{12}… instead of .{12}….*run the command again/,
  );
  expect(existsSync(join(cacheDir, "models--someone--tiny-llava", "refs"))).toBe(false);
  hub.corrupt = false;
  const folder = await resolveCheckpoint("someone/tiny-llava", { hubUrl: hub.url, cacheDir });
  expect(readFileSync(join(folder, "model.safetensors")).equals(large)).toBe(true);
});

test("offline, refused, absent, unreachable: what it is and what to do", async () => {
  await using hub = await FakeHub.start(repository);
  const cacheDir = freshCache();
  const at = (id: string, options = {}) => resolveCheckpoint(id, { hubUrl: hub.url, cacheDir, ...options });
  await expect(at("someone/tiny-llava", { offline: true })).rejects.toThrow(
    /is not in .*HF_HUB_OFFLINE.*copy that folder/,
  );
  await expect(at("someone/other")).rejects.toThrow(/the hub has no someone\/other with a revision "main"/);
  await expect(at("someone/tiny-llava@v9")).rejects.toThrow(/revision "v9"/);
  await expect(at("no such path")).rejects.toThrow(/does not exist, and is no hub id/);
  await expect(at("someone/tiny-llava@../../x")).rejects.toThrow(/no name of a branch/);
  hub.token = "hf_secret";
  await expect(at("someone/tiny-llava")).rejects.toThrow(/refuses someone\/tiny-llava \(401\).*HF_TOKEN/);
  const folder = await at("someone/tiny-llava", { accessToken: "hf_secret" });
  const nobody = { hubUrl: "http://127.0.0.1:59321", cacheDir };
  expect(await resolveCheckpoint("someone/tiny-llava", nobody)).toBe(folder); // the cache has it
  await expect(resolveCheckpoint("someone/else", nobody)).rejects.toThrow(/can't be reached \(ECONNREFUSED\)/);
  expect(await resolveCheckpoint(root, { offline: true })).toBe(root);
});

test("weights once, and nothing for other frameworks", () => {
  const chosen = (...paths: string[]) => filesToFetch(paths.map((path) => ({ path, size: 1 }))).map(({ path }) => path);
  expect(chosen("config.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "model-1.safetensors")).toEqual([
    "config.json",
    "model-1.safetensors",
  ]);
  expect(chosen("pytorch_model-1.bin", "pytorch_model.bin.index.json", "tf_model.h5", "onnx/model.onnx")).toEqual([
    "pytorch_model.bin.index.json",
    "pytorch_model-1.bin",
  ]);
  expect(chosen("epoch_6.pt", "consolidated.00.pth", "tokenizer.model", "chat_template.jinja")).toEqual([
    "tokenizer.model",
    "chat_template.jinja",
    "epoch_6.pt",
  ]);
});

test("the cache is where Python's variables say, with ~ and $HOME in them", async () => {
  for (const name of ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"]) vi.stubEnv(name, "");
  const asked = () => resolveCheckpoint("someone/absent", { offline: true });
  const home = homedir();
  const places: [variable: string, value: string, folder: string][] = [
    ["XDG_CACHE_HOME", "$HOME/caches", join(home, "caches", "huggingface", "hub")],
    ["HF_HOME", "~/hf", join(home, "hf", "hub")],
    ["HF_HOME", "$HOME/hf", join(home, "hf", "hub")],
    ["HUGGINGFACE_HUB_CACHE", "~/old", join(home, "old")],
    ["HF_HUB_CACHE", "~", home],
  ];
  for (const [variable, value, folder] of places) {
    vi.stubEnv(variable, value);
    await expect(asked()).rejects.toThrow(`someone/absent (main) is not in ${folder},`);
  }
});

test("of what is no path here both readings are named", async () => {
  const mistyped = resolveCheckpoint("runs/nothere", { cacheDir: freshCache(), offline: true });
  await expect(mistyped).rejects.toThrow(
    /no file or folder .*runs.nothere\. As a hub id: runs\/nothere \(main\) is not in/,
  );
});

test("a proxy that doesn't answer is named, without its password", async () => {
  for (const name of ["NO_PROXY", "no_proxy", "http_proxy"]) vi.stubEnv(name, "");
  vi.stubEnv("HTTP_PROXY", "http://me:secret@127.0.0.1:59321");
  const asked = resolveCheckpoint("someone/else", { hubUrl: "http://hub.test", cacheDir: freshCache() });
  const error = await asked.catch((reason: unknown) => reason);
  expect(String(error)).toMatch(/can't be reached through the proxy http:\/\/127\.0\.0\.1:59321 \(ECONNREFUSED\)/);
  expect(String(error)).not.toContain("secret");
});
