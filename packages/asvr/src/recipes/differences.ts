/** Where two recipes, or parts of them, differ. */
export interface SettingDifference {
  /** As `--set` names it: "stages.tuning.steps". */
  path: string;
  there: unknown;
  now: unknown;
}

/** Every setting by which two values of JSON differ; lists are compared as a whole where their lengths differ. */
export function differences(there: unknown, now: unknown, path = ""): SettingDifference[] {
  const areObjects = [there, now].every((value) => typeof value === "object" && value !== null);
  if (!areObjects) return there === now ? [] : [{ path, there, now }];
  const [first, second] = [there, now] as Record<string, unknown>[];
  const keys = new Set([...Object.keys(first!), ...Object.keys(second!)]);
  return [...keys].flatMap((key) => differences(first![key], second![key], path ? `${path}.${key}` : key));
}

/** "stages.tuning.steps is 800 there, 400 now; …" */
export function describeDifferences(found: readonly SettingDifference[]): string {
  const shown = (value: unknown) => JSON.stringify(value) ?? "not set";
  return found.map(({ path, there, now }) => `${path} is ${shown(there)} there, ${shown(now)} now`).join("; ");
}
