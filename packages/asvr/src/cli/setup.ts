import { setup, summaryOf } from "@asvr/torch/setup";
import { printJson } from "./options.js";
import { print } from "./printable.js";

/** Makes what is native, unless it is there. The only command besides help and version that must run before it is. */
export async function setUp({ json }: { json: boolean }): Promise<void> {
  const result = await setup();
  if (json) printJson(result);
  else print(`${summaryOf(result)}\n`);
}
