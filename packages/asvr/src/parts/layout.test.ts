import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { derive } from "../recipes/recipe.js";
import { recipeOf } from "../recipes/tables.js";
import { partsOf } from "./identity.js";
import { partFolder } from "./layout.js";

const study = mkdtempSync(join(tmpdir(), "asvr-layout-"));
afterAll(() => rmSync(study, { recursive: true }));
const put = (name: string, record: object) => {
  for (const folder of [name, "parts"]) mkdirSync(join(study, folder), { recursive: true });
  writeFileSync(join(study, "parts", `${name}.json`), JSON.stringify({ name, ...record }));
};

test("a part of another setting never stands in for the one that was asked for, but in rows of earlier versions", () => {
  const row = derive(recipeOf("table1", "asvr", "micro"), { tokenizers: { semantic: { codebookSize: 64 } } });
  const { tokenizers } = partsOf(row);
  expect(() => partFolder(study, row, "tokenizers")).toThrow(`the part ${tokenizers}, which the study`);
  put("tokenizers", { reads: {} });
  expect(() => partFolder(study, row, "tokenizers")).toThrow(`the part ${tokenizers}, which the study`);
  put("tokenizers", {});
  expect(partFolder(study, row, "tokenizers")).toBe(join(study, "tokenizers"));
  expect(() => partFolder(study, derive(row, { startFrom: study }), "tokenizers")).toThrow("does not have");
  put(tokenizers, { reads: {} });
  expect(partFolder(study, row, "tokenizers")).toBe(join(study, tokenizers));
});
