import { availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import { defaultDevice, F, runtimeInfo, tidy } from "@asvr/torch";
import { printJson } from "./options.js";

/** Prints what is used, and whether a small product with its gradient is right. */
export function doctor({ json }: { json: boolean }): void {
  const { root, source, libtorch, cuda, mps, cudaProblem, cpuCapability, threads } = runtimeInfo();
  const device = defaultDevice();
  const found = {
    libtorch: { version: libtorch, source, folder: root },
    device: { used: device, cuda, mps, ...(cudaProblem && { cudaProblem }), check: check(device) },
    cpu: {
      model: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      capability: cpuCapability,
      threads,
    },
    memory: { freeGigabytes: gigabytes(freemem()), totalGigabytes: gigabytes(totalmem()) },
    versions: { node: process.version, platform: `${platform()} ${release()} ${process.arch}` },
  };
  if (json) printJson(found);
  else {
    for (const [topic, facts] of Object.entries(found)) {
      process.stdout.write(`${topic}\n`);
      for (const [name, value] of Object.entries(facts)) process.stdout.write(`  ${name.padEnd(16)}${value}\n`);
    }
  }
}

/** A small product on the device, forward and backward. */
function check(device: string): string {
  try {
    return tidy(() => {
      const x = F.ones([4, 4], "float32", device).setRequiresGrad(true);
      x.mm(x).sum().backward();
      return x.grad!.sum().item() === 128 ? "works" : "gives wrong numbers";
    });
  } catch (error) {
    return `fails: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function gigabytes(bytes: number): number {
  return Math.round((bytes / 2 ** 30) * 10) / 10;
}
