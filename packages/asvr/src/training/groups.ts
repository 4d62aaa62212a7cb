import type { optim, Tensor } from "@asvr/torch";
import { ConfigError } from "../errors.js";

/** How a part of the model is trained where it differs from the rest. */
export interface GroupSettings {
  /** The highest learning rate; the schedule is that of the stage. */
  learningRate?: number;
  weightDecay?: number;
}

/**
 * The parameters of an optimizer in groups by part, which is the first word of a name: "projector" of
 * "projector.fc1.weight". Parts without settings of their own are one group.
 * @param learningRate of the stage
 * @throws ConfigError for settings of a part that is not trained
 */
export function parameterGroups(
  trainable: Iterable<readonly [string, Tensor]>,
  groups: Readonly<Record<string, GroupSettings>>,
  learningRate: number,
): optim.ParameterGroup[] {
  const all = [...trainable];
  const partOf = (name: string) => name.split(".", 1)[0]!;
  const membersOf = (part: string) => all.filter(([name]) => partOf(name) === part);
  const own = Object.entries(groups).map(([part, settings]) => ({
    parameters: membersOf(part),
    weightDecay: settings.weightDecay,
    learningRateScale: (settings.learningRate ?? learningRate) / learningRate,
  }));
  const unknown = Object.keys(groups).filter((part) => membersOf(part).length === 0);
  if (unknown.length > 0) {
    const trained = [...new Set(all.map(([name]) => partOf(name)))];
    throw new ConfigError(`groups: ${unknown.join(", ")} is not trained here; what is: ${trained.join(", ")}`);
  }
  return [{ parameters: all.filter(([name]) => !(partOf(name) in groups)) }, ...own];
}
