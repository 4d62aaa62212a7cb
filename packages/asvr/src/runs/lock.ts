import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { link, mkdir, readFile, rm, rmdir, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError } from "../errors.js";

interface Holder {
  pid: number;
  host: string;
  /** When the process began, as the system counts; tells it from a later one with the same number. */
  begun?: string;
}

/** A holder on another machine cannot be asked whether it lives: it touches its lock this often. */
const TOUCH_EVERY_SECONDS = 10;
const SILENT_AFTER_SECONDS = 60;
/** Taking a dead lock over lasts milliseconds: a process that has not ended it after this died in it. */
const TAKEOVER_SECONDS = 10;

export interface LockOptions {
  /** What the lock keeps for its holder, for the message: "runs/demo". */
  what: string;
  /** How long another holder may take to end; a process whose parent was killed still saves. */
  waitSeconds?: number;
  signal?: AbortSignal;
}

/**
 * A file that names the one process that works on something. The lock of a process that has died is taken over.
 * @throws ConfigError when another process holds it
 */
export class Lock {
  readonly #touching: NodeJS.Timeout;
  readonly #onExit = () => rmSync(this.file, { force: true });

  private constructor(readonly file: string) {
    const touch = () => utimes(file, new Date(), new Date()).catch(() => {}); // gone: its folder was deleted
    this.#touching = setInterval(touch, TOUCH_EVERY_SECONDS * 1000).unref();
    process.once("exit", this.#onExit);
  }

  static async hold(file: string, { what, waitSeconds = 0, signal }: LockOptions): Promise<Lock> {
    const deadline = performance.now() + waitSeconds * 1000;
    for (;;) {
      const holder = await take(file);
      if (!holder) return new Lock(file);
      if (performance.now() >= deadline) {
        const where = holder.host === hostname() ? "" : ` on ${holder.host}`;
        throw new ConfigError(
          `process ${holder.pid}${where} is working on ${what}: wait until it ends, or choose another folder. ` +
            `(If there is no such process, delete ${file}.)`,
        );
      }
      await sleep(100, undefined, { signal });
    }
  }

  async release(): Promise<void> {
    clearInterval(this.#touching);
    process.removeListener("exit", this.#onExit);
    await rm(this.file, { force: true });
  }
}

/** Takes the lock, or says who has it. */
async function take(file: string): Promise<Holder | undefined> {
  for (;;) {
    const draft = `${file}.${randomUUID()}.partial`;
    const own: Holder = { pid: process.pid, host: hostname(), begun: await beginningOf(process.pid) };
    await writeFile(draft, `${JSON.stringify(own)}\n`);
    try {
      await link(draft, file); // fails where there is one: of two processes, one succeeds, and with whole contents
      return undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      await rm(draft, { force: true });
    }
    const found = await holderOf(file);
    if (typeof found === "object") return found;
    if (found === "dead") await removeDead(file);
  }
}

/**
 * Removes a dead lock. One process at a time looks whether it is dead still, and removes it: two that found it dead
 * could otherwise remove the lock of a third, which was faster.
 */
async function removeDead(file: string): Promise<void> {
  const section = `${file}.takeover`;
  try {
    await mkdir(section);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    // It is there for milliseconds, unless its process died in them.
    if ((await secondsSince(section)) > TAKEOVER_SECONDS) await rmdir(section).catch(() => {});
    else await sleep(5);
    return;
  }
  try {
    if ((await holderOf(file)) === "dead") await rm(file, { force: true });
  } finally {
    await rmdir(section).catch(() => {});
  }
}

/** Who holds a lock; "dead" is one that nobody holds any more, "absent" one that was released. */
async function holderOf(file: string): Promise<Holder | "dead" | "absent"> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "absent";
    throw error;
  }
  const holder = holderIn(text);
  if (!holder) return "dead";
  if (holder.host !== hostname()) return (await secondsSince(file)) < SILENT_AFTER_SECONDS ? holder : "dead";
  return isRunning(holder.pid) && holder.begun === (await beginningOf(holder.pid)) ? holder : "dead";
}

/** What a lock says; undefined where a crash left it empty, or it is none of ours. */
function holderIn(text: string): Holder | undefined {
  try {
    return (JSON.parse(text) as Holder | null) ?? undefined;
  } catch {
    return undefined;
  }
}

async function secondsSince(path: string): Promise<number> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() })); // gone: it was touched just now
  return (Date.now() - mtimeMs) / 1000;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // another user's
  }
}

/** Linux says when a process began; elsewhere its number has to do. */
async function beginningOf(pid: number): Promise<string | undefined> {
  try {
    const fields = await readFile(`/proc/${pid}/stat`, "utf8");
    return fields.slice(fields.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
