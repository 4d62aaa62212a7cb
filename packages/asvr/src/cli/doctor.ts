import { availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import { printJson } from "./options.js";
import { print } from "./printable.js";

interface Engine {
  readonly libtorch: object;
  readonly device: { readonly check: string };
  readonly cpu?: object;
}

/** Prints what is used, and whether a small product with its gradient is right. Ends with 1 where it is not. */
export async function doctor({ json }: { json: boolean }): Promise<void> {
  const { libtorch, device, cpu } = await engine();
  const found = {
    libtorch,
    device,
    cpu: { model: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), ...cpu },
    memory: { freeGigabytes: gigabytes(freemem()), totalGigabytes: gigabytes(totalmem()) },
    versions: { node: process.version, platform: `${platform()} ${release()} ${process.arch}` },
  };
  if (json) printJson(found);
  else {
    for (const [topic, facts] of Object.entries(found)) {
      print(`${topic}\n`);
      for (const [name, value] of Object.entries(facts)) print(`  ${name.padEnd(16)}${value}\n`);
    }
  }
  if (device.check !== "works") process.exitCode = 1;
}

/** What the engine says of itself; where it was not built or cannot be loaded, why, and what to do. */
async function engine(): Promise<Engine> {
  try {
    const { defaultDevice, runtimeInfo } = await import("@asvr/torch");
    const { root, source, libtorch, cuda, mps, cudaProblem, cpuCapability, threads } = runtimeInfo();
    const problem = cudaProblem && { cudaProblem };
    const device = { used: process.env.ASVR_DEVICE || "cpu", cuda, mps, ...problem };
    return {
      libtorch: { version: libtorch, source, folder: root },
      device: { ...device, check: await check(defaultDevice) },
      cpu: { capability: cpuCapability, threads },
    };
  } catch (error) {
    if (!(error instanceof Error && error.name === "LoadError")) throw error;
    const problem = error.message.replaceAll("npx @asvr/torch setup", "npx asvr setup");
    return { libtorch: { problem }, device: { check: "fails: the engine is not there; run `npx asvr setup`" } };
  }
}

/** A small product on the device, forward and backward. */
async function check(defaultDevice: () => string): Promise<string> {
  const { F, tidy } = await import("@asvr/torch");
  try {
    return tidy(() => {
      const x = F.ones([4, 4], "float32", defaultDevice()).setRequiresGrad(true);
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
