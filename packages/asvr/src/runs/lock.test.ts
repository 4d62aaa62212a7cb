import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ConfigError } from "../errors.js";
import { Lock } from "./lock.js";

const root = mkdtempSync(join(tmpdir(), "asvr-lock-"));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;
const newFile = () => join(root, `${count++}.lock`);
const what = "runs/demo";

test("a lock is held once, and again after its release", async () => {
  const file = newFile();
  const lock = await Lock.hold(file, { what });
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ pid: process.pid, host: hostname() });
  await expect(Lock.hold(file, { what })).rejects.toThrow(
    new RegExp(`process ${process.pid} is working on runs/demo: .* delete ${file}`),
  );
  await lock.release();
  expect(existsSync(file)).toBe(false);
  await (await Lock.hold(file, { what })).release();
});

test.each(Array.from({ length: 40 }, (_, round) => round))("of many at a time, one holds it (%d)", async () => {
  const file = newFile();
  writeFileSync(file, JSON.stringify(dead())); // which all of them would take over
  const tries = await Promise.allSettled(Array.from({ length: 16 }, () => Lock.hold(file, { what })));
  const held = tries.filter((one) => one.status === "fulfilled");
  expect(held).toHaveLength(1);
  for (const one of tries) if (one.status === "rejected") expect(one.reason).toBeInstanceOf(ConfigError);
  await held[0]!.value.release();
});

test.each([
  ["of a process that has ended", () => JSON.stringify(dead())],
  ["of an earlier process with the number of a living one", () => JSON.stringify({ ...own(), begun: "1" })],
  ["that a crash left empty", () => ""],
])("a lock %s is taken over", async (_, contents) => {
  const file = newFile();
  writeFileSync(file, contents());
  const lock = await Lock.hold(file, { what });
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ pid: process.pid });
  await lock.release();
});

test("a lock of another machine counts while its holder touches it", async () => {
  const file = newFile();
  writeFileSync(file, JSON.stringify({ ...own(), host: "elsewhere" }));
  await expect(Lock.hold(file, { what })).rejects.toThrow(
    `process ${process.pid} on elsewhere is working on runs/demo`,
  );
  const old = new Date(Date.now() - 10 * 60_000);
  utimesSync(file, old, old);
  await (await Lock.hold(file, { what })).release();
});

test("waits for a holder that ends, and no longer than it is told to", async () => {
  const file = newFile();
  const holder = spawn(process.execPath, ["-e", "setTimeout(() => {}, 400)"]);
  writeFileSync(file, JSON.stringify({ pid: holder.pid, host: hostname(), begun: begunOf(holder.pid!) }));
  await expect(Lock.hold(file, { what, waitSeconds: 0.1 })).rejects.toThrow(ConfigError);
  await (await Lock.hold(file, { what, waitSeconds: 60 })).release();

  writeFileSync(file, JSON.stringify(own()));
  const stop = new AbortController();
  const waiting = Lock.hold(file, { what, waitSeconds: 60, signal: stop.signal });
  stop.abort();
  await expect(waiting).rejects.toThrow("aborted");
});

function own() {
  return { pid: process.pid, host: hostname(), begun: begunOf(process.pid) };
}

function dead() {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  return { pid, host: hostname(), begun: "1" };
}

/** As the lock finds it out. */
function begunOf(pid: number): string | undefined {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) ? readFileSync(file, "utf8").split(") ")[1]!.split(" ")[19] : undefined;
}
