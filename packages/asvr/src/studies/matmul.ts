import { F, setThreads, tidy } from "@asvr/torch";

/** How much faster bfloat16 must be to be worth its rounding. */
const WORTH = 1.25;

/**
 * Which dtype this machine's matrix products are faster in, by trying both on a product as training has it. Asked once
 * for a study and kept in its settings, so that a resumed run computes as it began.
 */
export function fasterMatmul(threads: number): "float32" | "bfloat16" {
  setThreads(threads);
  return tidy(() => {
    const x = F.randn([1536, 128]);
    const weight = F.randn([384, 128]);
    const inFloat32 = () => F.linear(x, weight);
    const inBfloat16 = () => F.linear(x.to("bfloat16"), weight.to("bfloat16")).to("float32");
    // By turns, so that what else runs on the machine hits both.
    const times = { float32: [] as number[], bfloat16: [] as number[] };
    for (let round = 0; round < 15; round++) {
      times.float32.push(milliseconds(inFloat32));
      times.bfloat16.push(milliseconds(inBfloat16));
    }
    return median(times.float32) / median(times.bfloat16) > WORTH ? "bfloat16" : "float32";
  });
}

function milliseconds(run: () => unknown): number {
  const started = performance.now();
  for (let i = 0; i < 4; i++) tidy(() => void run());
  return performance.now() - started;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
