import { rm } from "node:fs/promises";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BesideTable, besidePaper } from "./beside.js";
import { renderBeside } from "./beside-formats.js";
import { makeRunFolder } from "./fixture.js";
import { interval, points, signedPoints } from "./format.js";
import { buildReportTables } from "./report.js";

let folder: string;
let tables: BesideTable[];
beforeAll(async () => {
  folder = await makeRunFolder({
    rows: [
      { id: "llava", title: "LLaVA", skill: 0.4 },
      { id: "asvr", title: "ASVR & <b>co</b>_1 100%", supervision: "semantic", alignment: "same", skill: 0.6 },
    ],
  });
  tables = besidePaper([{ folder: "runs/x", ...(await buildReportTables(folder)) }]);
});
afterAll(() => rm(folder, { recursive: true }));

test("the paper's side has its 14 scores with the deltas that it prints", () => {
  const [paper] = tables[0]!.blocks;
  expect(paper!.groups.flatMap(({ columns }) => columns)).toHaveLength(14);
  const asvr = paper!.rows.find(({ id }) => id === "asvr")!;
  expect(asvr.cells[0]).toEqual({ value: 59.5, delta: 3.5 });
  expect(asvr.average).toEqual({ value: 49.8, delta: 3 });
  expect(paper!.rows.find(({ id }) => id === "asvr-discrete")).toMatchObject({
    against: "llava-discrete",
    cells: expect.arrayContaining([{ value: 55.5, delta: 6.2 }]),
  });
  for (const id of ["llava", "llava-discrete"]) {
    expect(paper!.rows.find((row) => row.id === id)!.cells.map((cell) => cell!.delta)).toEqual(
      Array(14).fill(undefined),
    );
  }
});

test("our side has an interval wherever it has a mean", () => {
  const ours = tables[0]!.blocks[1]!;
  expect(ours.rows.map(({ id }) => id)).toEqual(["llava", "asvr"]);
  for (const { average, cells } of ours.rows) {
    expect(average.interval).toHaveLength(2);
    expect(average.deltaInterval === undefined).toBe(average.delta === undefined);
    expect(cells.every((cell) => cell !== undefined)).toBe(true);
  }
});

test("all formats show the same numbers", () => {
  const { average } = tables[0]!.blocks[1]!.rows[1]!;
  const shown = [
    points(average.value),
    interval(average.interval!),
    signedPoints(average.delta!),
    interval(average.deltaInterval!),
  ];
  const markdown = renderBeside(tables, "markdown").replaceAll("\\[", "[").replaceAll("\\]", "]");
  const spaced = (text: string) => text.replaceAll("\u00a0", " ");
  const page = parseHTML(renderBeside(tables, "html")).document.body.textContent!;
  const latex = renderBeside(tables, "latex").replaceAll("~", "\u00a0").replaceAll("$-$", "\u2212");
  for (const text of [markdown, page, latex]) {
    for (const number of shown) expect(spaced(text)).toContain(spaced(number));
    expect(text).toContain("59.5 (+3.5)");
  }
  expect(JSON.parse(renderBeside(tables, "json"))).toEqual(tables);
});

test("titles are text in every format", () => {
  const latex = renderBeside(tables, "latex");
  expect(latex).toContain("ASVR \\& <b>co</b>\\_1 100\\%");
  const { document } = parseHTML(renderBeside(tables, "html"));
  expect(document.querySelectorAll("b")).toHaveLength(0);
  expect(renderBeside(tables, "markdown")).toContain("ASVR & &lt;b&gt;co&lt;/b&gt;\\_1 100%");
  for (const row of latex.split("\n").filter((line) => line.startsWith("LLaVA &"))) {
    expect(row.match(/(?<!\\)&/g)).toHaveLength(tables[0]!.blocks[1]!.rows[0]!.cells.length + 1);
  }
});
