import { beforeAll, describe, expect, test } from "vitest";
import { Random } from "../random.js";
import { type Assets, loadAssets } from "./assets.js";
import { renderScene } from "./render.js";
import { type Scene, sampleScene } from "./scene.js";
import { heldOutVendors, makeSplit, SPLIT_NAMES, type SplitName } from "./splits.js";
import { THINGS } from "./things.js";
import { type Box, IMAGE_SIZE, REGIONS, VENDORS } from "./world.js";

let assets: Assets;
beforeAll(async () => {
  assets = await loadAssets(THINGS.rich); // the standard ones are among them
});

function sample(name: SplitName, count: number, things = THINGS.standard): Scene[] {
  const split = makeSplit(
    name,
    5,
    assets.digits.map((samples) => samples.length),
    things,
  );
  const random = new Random(5).fork(name);
  return Array.from({ length: count }, (_, i) => sampleScene(split, random.fork(i)));
}

describe.each(Object.values(THINGS))("of the $name things", (things) => {
  test("a concept's unseen drawing is in test-novel alone, and test-novel has no other", () => {
    const heldOut = heldOutVendors(5, things);
    for (const name of SPLIT_NAMES) {
      const objects = sample(name, 1000, things).flatMap((scene) => scene.objects);
      expect(new Set(objects.map(({ concept }) => concept))).toEqual(new Set(things.concepts));
      const misplaced = objects.filter(
        ({ concept, vendor }) => (vendor === heldOut.get(concept)) !== (name === "test-novel"),
      );
      expect(misplaced).toEqual([]);
    }
  });

  test("every vendor is held out for some concept, and another seed chooses others", () => {
    expect(new Set(heldOutVendors(5, things).values()).size).toBe(VENDORS.length);
    expect(heldOutVendors(6, things)).not.toEqual(heldOutVendors(5, things));
  });
});

test("both sets hold the same drawing of a concept back", () => {
  const rich = heldOutVendors(5, THINGS.rich);
  for (const [concept, vendor] of heldOutVendors(5)) expect(rich.get(concept)).toBe(vendor);
});

test("all vendors draw every concept, and no two drawings are alike, so an unseen one is new to the eye", () => {
  const drawings = THINGS.rich.concepts.flatMap((concept) =>
    VENDORS.map((vendor) => Buffer.from(assets.drawing(concept, vendor, 25)).toString("base64")),
  );
  expect(new Set(drawings).size).toBe(THINGS.rich.concepts.length * VENDORS.length);
});

test("no handwritten digit is in both training and test, not even as an equal copy", () => {
  const ink = (name: SplitName) =>
    assets.digits.flatMap((samples, value) => {
      const { first, end } = makeSplit(
        name,
        5,
        assets.digits.map((all) => all.length),
      ).digits(value);
      return samples.slice(first, end).map((digit) => Buffer.from(digit).toString("base64"));
    });
  const train = new Set(ink("train"));
  expect(ink("test-seen").filter((digit) => train.has(digit))).toEqual([]);
  expect(train.size + ink("test-seen").length).toBe(10_000);
});

test("training and test crops share no pixel of any photograph", () => {
  const overlap = (a: Box, b: Box) =>
    a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
  for (const one of REGIONS) {
    for (const other of REGIONS.filter(({ photograph }) => photograph === one.photograph)) {
      expect(overlap(one.boxes.train, other.boxes.test), `${one.photograph} ${one.shows} ${other.shows}`).toBe(false);
    }
  }
});

test.each(SPLIT_NAMES)("crops of %s stay inside the box of their side", (name) => {
  for (const { crop } of sample(name, 300)) {
    expect(crop.side).toBe(name.startsWith("test") ? "test" : "train");
    const photo = assets.photographs[crop.region]![crop.side];
    expect(Math.min(crop.x, crop.y, crop.size - IMAGE_SIZE)).toBeGreaterThanOrEqual(0);
    expect(crop.x + crop.size).toBeLessThanOrEqual(photo.width);
    expect(crop.y + crop.size).toBeLessThanOrEqual(photo.height);
  }
});

test("a drawing and its plate stay inside their cell", () => {
  for (const scene of sample("train", 30)) {
    const bare = renderScene({ ...scene, objects: [], digit: undefined }, assets);
    const full = renderScene(scene, assets);
    const cells = new Set([...scene.objects, ...(scene.digit ? [scene.digit] : [])].map(({ plate }) => plate.cell));
    const changed = new Set<number>();
    for (let i = 0; i < full.length; i++) {
      const [x, y] = [Math.floor(i / 3) % IMAGE_SIZE, Math.floor(i / 3 / IMAGE_SIZE)];
      if (full[i] !== bare[i]) changed.add((x < 28 ? 0 : 1) + (y < 28 ? 0 : 2));
    }
    expect([...changed].sort()).toEqual([...cells].sort());
  }
});
