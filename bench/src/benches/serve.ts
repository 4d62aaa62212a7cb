import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { BenchContext, BenchResult } from "../harness/bench.js";
import { noisePng } from "../harness/png.js";
import { residentBytes } from "../harness/resident.js";
import { BenchError, ours, runSide } from "../harness/sides.js";
import { shown } from "../harness/table.js";
import { withTemporaryFolder } from "../harness/temporary.js";

export interface ServeOptions {
  /** How many requests the memory is watched over. */
  readonly requests: number;
  readonly tokens: number;
  readonly dtype: "float32" | "bfloat16";
}

const ALONE = 24;
const TOGETHER = 64;

interface Server {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** `asvr serve` under load: many requests at once beside one after another, each with a picture of its own. */
export function serve(
  { threads, rounds, note }: Omit<BenchContext, "peer">,
  { requests, tokens, dtype }: ServeOptions,
): Promise<BenchResult> {
  return withTemporaryFolder(async (folder) => {
    await runSide(ours("write-random-llava"), { folder, size: "small", threads });
    const server = await start(folder, { threads, dtype });
    try {
      let seed = 0;
      const ask = () => askOne(server.url, seed++, tokens);
      for (let i = 0; i < 8; i++) await ask(); // first calls are slower
      const ratios: number[] = [];
      const perSecond = { alone: 0, together: 0 };
      for (let round = 0; round < rounds; round++) {
        const alone =
          ALONE /
          (await seconds(async () => {
            for (let i = 0; i < ALONE; i++) await ask();
          }));
        const together = TOGETHER / (await seconds(() => Promise.all(Array.from({ length: TOGETHER }, ask))));
        note(
          `round ${round + 1} of ${rounds}: ${shown(alone)} requests/s one by one, ${shown(together)} of ${TOGETHER}`,
        );
        ratios.push(alone / together);
        perSecond.alone = Math.max(perSecond.alone, alone);
        perSecond.together = Math.max(perSecond.together, together);
      }
      const resident: { requests: number; megabytes: number }[] = [];
      for (let done = 0; done < requests; done += TOGETHER) {
        await Promise.all(Array.from({ length: Math.min(TOGETHER, requests - done) }, ask));
        resident.push({ requests: Math.min(requests, done + TOGETHER), megabytes: residentBytes(server.pid) / 1e6 });
      }
      const ratio = ratios.sort((a, b) => a - b)[Math.floor(ratios.length / 2)]!;
      const shownMemory = [0.25, 0.5, 0.75, 1].map((share) => resident[Math.ceil(share * resident.length) - 1]!);
      return {
        ratio,
        parts: { unit: "requests/s", ...perSecond, tokens, dtype, atOnce: TOGETHER, resident },
        table: [
          ["", "requests/s"],
          ["one by one", shown(perSecond.alone)],
          [`${TOGETHER} at once`, shown(perSecond.together)],
          ...shownMemory.map((at) => [`resident after ${at.requests}, MB`, shown(at.megabytes, 4)]),
        ],
      };
    } finally {
      await server.stop();
    }
  });
}

async function start(
  folder: string,
  { threads, dtype }: { threads: number; dtype: ServeOptions["dtype"] },
): Promise<Server> {
  const bin = fileURLToPath(new URL("../../../packages/asvr/bin/asvr.js", import.meta.url));
  const child: ChildProcessByStdio<null, Readable, null> = spawn(
    process.execPath,
    [
      ...[bin, "serve", folder, "--port", "0", "--model-name", "random", "--max-concurrent", String(TOGETHER)],
      ...["--threads", String(threads), "--dtype", dtype, "--cache-mb", "96", "--json"],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = once(child, "close");
  let told = "";
  for await (const text of child.stdout.setEncoding("utf8")) {
    told += text;
    if (told.endsWith("}\n")) break;
  }
  if (!told.endsWith("}\n")) throw new BenchError(`asvr serve ended: ${told}`);
  const stop = async () => {
    child.kill("SIGTERM");
    const [status] = await ended;
    if (status !== 0) throw new BenchError(`asvr serve ended with status ${status}`);
  };
  return { url: (JSON.parse(told) as { url: string }).url, pid: child.pid!, stop };
}

/** @throws BenchError for a request that is not answered */
async function askOne(url: string, seed: number, tokens: number): Promise<void> {
  const picture = `data:image/png;base64,${noisePng(seed, 56).toString("base64")}`;
  const content = [
    { type: "image_url", image_url: { url: picture } },
    { type: "text", text: `Question ${seed}: what is it?` },
  ];
  const response = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "random", messages: [{ role: "user", content }], max_tokens: tokens, seed }),
  });
  const answer = (await response.json()) as { usage?: { completion_tokens: number } };
  if (response.ok && answer.usage) return; // a random model may have nothing to say
  throw new BenchError(`request ${seed} was answered with ${response.status}: ${JSON.stringify(answer)}`);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
