import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { defaultDrawing, describeDrawing } from "./default-drawing.js";

const folder = mkdtempSync(join(tmpdir(), "asvr-drawing-"));
afterAll(() => rmSync(folder, { recursive: true }));
const saying = (config: object) => {
  writeFileSync(join(folder, "generation_config.json"), JSON.stringify(config));
  return defaultDrawing(folder);
};

test("answers are drawn as generation_config.json says, in transformers' reading of it; greedy without one", () => {
  expect(describeDrawing(defaultDrawing(join(folder, "none")))).toBe("greedy");
  expect(saying({ eos_token_id: 2 })).toEqual({});
  expect(saying({ temperature: 0.9, top_p: 0.6 })).toEqual({}); // nothing is drawn without do_sample
  expect(saying({ do_sample: false, temperature: 1 })).toEqual({});
  const qwen = saying({ do_sample: true, temperature: 0.7, top_p: 0.8, top_k: 20 });
  expect(qwen).toEqual({ temperature: 0.7, topP: 0.8, topK: 20 });
  expect(describeDrawing(qwen)).toBe("drawn at temperature 0.7, top_p 0.8, top_k 20");
  expect(saying({ do_sample: true, temperature: null })).toEqual({ temperature: 1, topP: 1, topK: 50 });
  expect(describeDrawing(saying({ do_sample: true, top_k: 0 }))).toBe("drawn at temperature 1");
  expect(() => saying({ do_sample: true, temperature: -1 })).toThrow(/generation_config\.json.*temperature.*-1/s);
});
