import { defaultDevice } from "@asvr/torch";
import type { PartContext } from "../parts/part.js";
import { readSettings, useSettings } from "../parts/settings-file.js";
import { interruptSignal } from "./options.js";
import type { ProgressDisplay } from "./progress.js";

/** What a part of a study is given when a command runs it in its own process. @throws ConfigError */
export async function commandContext(
  study: string,
  part: string,
  display: ProgressDisplay,
  signal = interruptSignal(display),
): Promise<PartContext> {
  const settings = await readSettings(study);
  useSettings(settings);
  return {
    folder: study,
    settings,
    device: defaultDevice(),
    signal,
    onProgress: (progress) => display.update(part, progress),
    onNote: (text) => display.note(text),
  };
}
