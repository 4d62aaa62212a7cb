import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tinyFolder } from "../chat/fixture.js";

const bin = fileURLToPath(new URL("../../bin/asvr.js", import.meta.url));
const serve = [process.execPath, bin, "serve", tinyFolder, "--port", "0", "--json"];

/** What a program says on standard output until `end` is in it. */
async function heard({ stdout }: { stdout: Readable }, end: string): Promise<string> {
  let told = "";
  stdout.setEncoding("utf8").on("data", (text: string) => {
    told += text;
  });
  await expect.poll(() => told, { timeout: 30_000 }).toContain(end);
  return told;
}

function complaintsOf(child: ChildProcess): { text: string } {
  const said = { text: "" };
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    said.text += text;
  });
  return said;
}

test("SIGUSR1 ends a server as SIGTERM does, and opens no debugger", async () => {
  const child = spawn(serve[0]!, serve.slice(1));
  const said = complaintsOf(child);
  const ended = once(child, "close");
  await heard(child, "}\n");
  child.kill("SIGUSR1");
  expect((await ended)[0]).toBe(0);
  expect(said.text).toMatch(/stopping: 0 answer/);
  expect(said.text).not.toMatch(/debugger/i);
}, 60_000);

test("where nothing is to be saved, SIGUSR1 ends a command as SIGTERM does", async () => {
  const child = spawn(process.execPath, [bin, "chat", tinyFolder]);
  const said = complaintsOf(child);
  const ended = once(child, "close");
  await heard(child, "> ");
  child.kill("SIGUSR1");
  expect([await ended, said.text]).toEqual([[null, "SIGTERM"], ""]);
}, 60_000);

test.each(["SIGTERM", "SIGKILL"] as const)(
  "a server that npm started ends when npm is ended by %s",
  async (signal) => {
    // npm starts a shell that stays, and the shell starts the command.
    const npm = spawn("sh", ["-c", `sh -c '"$@"; true' sh "$@"; true`, "sh", ...serve], {
      env: { ...process.env, npm_command: "exec" },
    });
    const said = complaintsOf(npm);
    const { url } = JSON.parse(await heard(npm, "}\n"));
    npm.kill(signal);
    await expect.poll(() => said.text, { timeout: 10_000 }).toMatch(/stopping: 0 answer/);
    await expect(fetch(`${url}/models`)).rejects.toThrow();
  },
  60_000,
);
