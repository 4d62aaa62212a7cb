import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type nn, type optim, readSafetensors, type Tensor, tidy, writeSafetensors } from "@asvr/torch";
import { checkpointName, hashOfFile, manifestText, type Position, readManifest, verifyFiles } from "./manifest.js";
import { randomStates, setRandomStates } from "./random-state.js";

export type { Position } from "./manifest.js";

export interface Trained {
  modules: Readonly<Record<string, nn.Module>>;
  optimizer: optim.AdamW;
}

/** How many checkpoints of a run are kept: the newest, and one before it should a disk lose the newest. */
const KEPT = 2;

/**
 * Writes `checkpoints/STAGE-step-N` under a temporary name, syncs it, and renames it: after a crash at any moment the
 * newest complete checkpoint is whole. Model, optimizer and random state are safetensors.
 */
export async function saveCheckpoint(
  folder: string,
  position: Position,
  { modules, optimizer }: Trained,
): Promise<void> {
  const checkpoints = join(folder, "checkpoints");
  const name = checkpointName(position);
  const temporary = join(checkpoints, `.${name}.partial`);
  await removePartial(checkpoints);
  await mkdir(temporary, { recursive: true });
  tidy(() => {
    writeSafetensors(join(temporary, "model.safetensors"), stateOf(modules));
    writeSafetensors(join(temporary, "optimizer.safetensors"), optimizer.stateDict());
    writeSafetensors(join(temporary, "random.safetensors"), randomStates(modules));
  });
  const files: Record<string, string> = {};
  for (const file of (await readdir(temporary)).sort()) files[file] = await hashOfFile(join(temporary, file));
  await writeFile(join(temporary, "manifest.json"), manifestText(position, files), { flush: true });
  await syncFolder(temporary);
  const final = join(checkpoints, name);
  await rm(final, { recursive: true, force: true });
  await rename(temporary, final);
  await syncFolder(checkpoints);
  for (const { path } of (await completeCheckpoints(folder)).slice(0, -KEPT))
    await rm(path, { recursive: true, force: true });
}

/** The newest complete checkpoint's position and folder, or undefined where a run has none yet. */
export async function latestCheckpoint(folder: string): Promise<(Position & { path: string }) | undefined> {
  return (await completeCheckpoints(folder)).at(-1);
}

/** Loads the weights of a checkpoint, after its files were held against their hashes. @throws CheckpointError */
export function loadModules(path: string, modules: Readonly<Record<string, nn.Module>>): Promise<void> {
  return useWeights(path, (weights) => loadState(modules, weights));
}

/** Hands the weights of a checkpoint, `MODULE.name`, to `use`, and frees them after it. @throws CheckpointError */
export async function useWeights(path: string, use: (weights: Map<string, Tensor>) => void): Promise<void> {
  await verifyFiles(path);
  tidy(() => use(readSafetensors(join(path, "model.safetensors")).tensors));
}

/** Loads optimizer and random state too: from here on a resumed run makes the same steps as an unbroken one. */
export async function loadTraining(path: string, { modules, optimizer }: Trained): Promise<void> {
  await loadModules(path, modules);
  tidy(() => {
    optimizer.load(readSafetensors(join(path, "optimizer.safetensors")).tensors);
    const states = readSafetensors(join(path, "random.safetensors")).tensors;
    setRandomStates(modules, new Map(Array.from(states, ([kind, state]) => [kind, state.clone()])));
  });
}

/** Every module's state as `MODULE.name`. */
export function stateOf(modules: Readonly<Record<string, nn.Module>>): Map<string, Tensor> {
  return new Map(
    Object.entries(modules).flatMap(([module, network]) =>
      Array.from(network.stateDict(), ([name, tensor]) => [`${module}.${name}`, tensor] as const),
    ),
  );
}

export function loadState(modules: Readonly<Record<string, nn.Module>>, state: ReadonlyMap<string, Tensor>): void {
  for (const [module, network] of Object.entries(modules)) network.load(state, { prefix: `${module}.` });
}

/** What a process that was killed while it saved has left. */
async function removePartial(checkpoints: string): Promise<void> {
  if (!existsSync(checkpoints)) return;
  for (const name of await readdir(checkpoints)) {
    if (name.startsWith(".") && name.endsWith(".partial")) await rm(join(checkpoints, name), { recursive: true });
  }
}

async function completeCheckpoints(folder: string): Promise<(Position & { path: string })[]> {
  const checkpoints = join(folder, "checkpoints");
  if (!existsSync(checkpoints)) return [];
  const found: (Position & { path: string })[] = [];
  for (const name of await readdir(checkpoints)) {
    const path = join(checkpoints, name);
    if (name.startsWith(".") || !existsSync(join(path, "manifest.json"))) continue;
    const { stage, stageNumber, step, seconds } = await readManifest(path);
    found.push({ stage, stageNumber, step, seconds, path });
  }
  return found.sort((a, b) => a.stageNumber - b.stageNumber || a.step - b.step);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  await handle.sync();
  await handle.close();
}
