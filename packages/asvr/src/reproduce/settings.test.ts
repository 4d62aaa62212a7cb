import { runtimeInfo } from "@asvr/torch";
import { expect, test } from "vitest";
import { planStudy } from "./plan.js";
import { demoSettings, fingerprint, settingsSchema } from "./settings.js";

const { things: _, ...earlier } = demoSettings.world;
const printsOf = (world: object) =>
  planStudy(settingsSchema.parse({ ...demoSettings, world })).map((part) => part.fingerprint);

test("settings from before there was a choice of things have the standard ones, and their world is not made again", () => {
  const { world, sharedSeed, threads, matmul } = settingsSchema.parse({ ...demoSettings, world: earlier });
  expect(world).toEqual(demoSettings.world);
  const common = [sharedSeed, threads, matmul, runtimeInfo().libtorch];
  expect(printsOf(world)[0]).toBe(fingerprint("data", common, [earlier], []));
});

test("with other things every part is another", () => {
  const rich = printsOf({ ...earlier, things: "rich" });
  expect(printsOf(earlier).filter((print) => rich.includes(print))).toEqual([]);
});
