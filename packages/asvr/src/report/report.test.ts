import { appendFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FixtureOptions, makeRunFolder, standardRows } from "./fixture.js";
import { points, signedPoints } from "./format.js";
import { buildTables, writeReport } from "./report.js";

const folders: string[] = [];
async function fixture(options?: FixtureOptions): Promise<string> {
  const folder = await makeRunFolder(options);
  folders.push(folder);
  return folder;
}
const read = (folder: string, name: string) => readFile(path.join(folder, name), "utf8");

afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

describe("the report of a complete study", () => {
  let folder: string;
  let written: Awaited<ReturnType<typeof writeReport>>;
  let page: string;
  beforeAll(async () => {
    folder = await fixture();
    written = await writeReport(folder);
    page = await read(folder, "report.html");
  });

  test("needs no other file, no network and no script", () => {
    const { document } = parseHTML(page);
    expect(document.querySelectorAll("script, iframe, object, embed, link, base, form")).toHaveLength(0);
    for (const link of document.querySelectorAll("a")) expect(link.getAttribute("href")).toMatch(/^#[a-z0-9-]+$/);
    const sources = [...document.querySelectorAll("[src], [href]:not(a)")].map(
      (element) => element.getAttribute("src") ?? element.getAttribute("href") ?? "",
    );
    expect(sources.length).toBeGreaterThan(10);
    for (const source of sources) expect(source).toMatch(/^data:image\/png;base64,/);
    expect(page).not.toMatch(/url\(|@import|\son\w+=/i);
    expect(page.replaceAll("http://www.w3.org", "")).not.toMatch(/https?:\/\//);
  });

  test("is accessible: pictures and charts are named, header cells have a scope", () => {
    const { document } = parseHTML(page);
    for (const image of document.querySelectorAll("img")) expect(image.getAttribute("alt")).toBeTruthy();
    for (const head of document.querySelectorAll("th")) expect(head.getAttribute("scope")).toBeTruthy();
    for (const svg of document.querySelectorAll("svg")) {
      expect(svg.getAttribute("aria-hidden") ?? svg.getAttribute("aria-label")).toBeTruthy();
    }
    expect(document.querySelectorAll("h1")).toHaveLength(1);
  });

  test("the page, the Markdown and the terminal show the numbers of tables.json", async () => {
    const tables = JSON.parse(await read(folder, "tables.json"));
    expect(tables).toEqual(written.tables);
    const markdown = await read(folder, "report.md");
    for (const row of written.tables.rows) {
      const title = standardRows.find((one) => one.id === row.id)!.title!;
      const inPage = page.split("<tr>").find((part) => part.includes(`scope="row">${title}<small>`))!;
      const inMarkdown = markdown.split("\n").find((line) => line.startsWith(`| ${title} (`))!;
      const inTerminal = written.summary.split("\n").find((line) => line.includes(`  ${title.slice(0, 8)}`))!;
      for (const place of [inPage, inMarkdown, inTerminal]) {
        expect(place).toContain(points(row.mean));
        expect(place).toContain(points(row.novel!));
        if (row.difference) expect(place).toContain(signedPoints(row.difference.mean));
      }
    }
  });

  test("the paper's averages and differences stand beside ours", async () => {
    const asvr = (await read(folder, "report.md")).split("\n").find((line) => line.startsWith("| ASVR ("))!;
    expect(asvr).toMatch(/\| 49\.8 \| \+3\.0 \|$/);
    expect(written.tables.paper.map((row) => row.id)).toEqual(["llava", "asvr", "appearance"]);
  });

  test("a row's id stands beside its title, and one seed has no p value", async () => {
    const markdown = await read(folder, "report.md");
    for (const { id, title } of standardRows) {
      expect(page).toContain(`scope="row">${title}<small><code>${id}</code></small>`);
      expect(markdown).toContain(`| ${title} (${id}; `);
      expect(written.summary).toContain(`\n${id}  ${title}`);
    }
    expect(written.tables.comparisons[0]!.p).toBeLessThan(1);
    for (const text of [page, markdown, written.summary]) {
      expect(text).not.toMatch(/\bp\s*[=<]\s*0\.\d/);
      expect(text.replace(/\s+/g, " ")).toContain("One seed separates nothing.");
    }
  });

  test("the contents name every section and lead to it", () => {
    const { document } = parseHTML(page);
    const links = [...document.querySelectorAll("nav a")];
    const titles = [...document.querySelectorAll("h2")].map((title) => title.textContent);
    expect(links.map((link) => link.textContent)).toEqual(titles);
    for (const link of links) {
      const section = document.getElementById(link.getAttribute("href")!.slice(1));
      expect(section?.querySelector("h2")?.textContent).toBe(link.textContent);
    }
  });

  test("a stage has the name that settings and metrics give it", () => {
    expect(page).toContain("Pretraining: text loss");
    expect(page).toContain("Tuning: text loss");
    expect(page).not.toMatch(/stage [12]/i);
  });

  test("the summary fits one screen", () => {
    const lines = written.summary.split("\n");
    expect(lines.length).toBeLessThanOrEqual(24);
    for (const line of lines.slice(0, -1)) expect(line.length, line).toBeLessThanOrEqual(80);
    expect(lines.at(-1)).toContain(path.join(folder, "report.html"));
  });

  test("leaves no temporary file, and a second writing gives the same bytes", async () => {
    const before = await Promise.all(["tables.json", "report.md", "report.html"].map((name) => read(folder, name)));
    await writeReport(folder);
    expect(await Promise.all(["tables.json", "report.md", "report.html"].map((name) => read(folder, name)))).toEqual(
      before,
    );
    expect((await readdir(folder)).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});

test("text from data cannot become markup, in the page or in the Markdown", async () => {
  const evil = `"><script>alert(1)</script><img src=x onerror='a()'> | [x](https://example.org) \``;
  const folder = await fixture({
    question: evil,
    rows: standardRows.map((row) => ({ ...row, title: `${row.id} ${evil}` })),
  });
  const { summary } = await writeReport(folder);
  const { document } = parseHTML(await read(folder, "report.html"));
  expect(document.querySelectorAll("script, [onerror], a:not([href^='#'])")).toHaveLength(0);
  expect(document.querySelector(".sample b")?.textContent).toBe(evil);
  expect(document.querySelector(".overlay")?.getAttribute("aria-label")).toContain("<script>");
  const markdown = await read(folder, "report.md");
  expect(markdown).not.toContain("<script>");
  expect(markdown).not.toMatch(/[^\\]\]\(/);
  expect(summary.split("\n").length).toBeLessThanOrEqual(24);
});

describe("incomplete studies", () => {
  test("missing parts are named, and the rest is reported", async () => {
    const folder = await fixture({ novel: false });
    for (const name of ["data/manifest.json", "tokenizers/summary.json", "asvr-s0/attention.json", "appearance-s0"]) {
      await rm(path.join(folder, name), { recursive: true });
    }
    const { tables, summary } = await writeReport(folder);
    expect(tables.rows.map((row) => row.id)).toEqual(["llava", "asvr"]);
    expect(tables.rows[0]).not.toHaveProperty("novel");
    const page = await read(folder, "report.html");
    const markdown = await read(folder, "report.md");
    for (const text of [page, markdown.replaceAll("\\", "")]) {
      expect(text).toContain("data/manifest.json");
      expect(text).toContain("tokenizers/summary.json");
      expect(text).toContain("test-novel: no row was evaluated on it");
      expect(text).toContain("appearance: not in the table");
      expect(text).toContain("result.json of appearance-s0");
      expect(text).toContain("no attention maps shared by llava and asvr");
    }
    expect(summary).toContain("Missing:");
  });

  test("a study that has only begun gives a report without rows", async () => {
    const folder = await fixture({ rows: [{ id: "llava", skill: 0.5 }] });
    await rm(path.join(folder, "llava-s0"), { recursive: true });
    const { tables, summary } = await writeReport(folder);
    expect(tables.rows).toEqual([]);
    expect(summary).toContain("No row has been evaluated yet.");
  });

  test("a run that stopped in its evaluation is left out by name", async () => {
    const folder = await fixture({ seeds: [0, 1] });
    const file = path.join(folder, "asvr-s1/evaluation/test-seen/predictions.jsonl");
    await writeFile(file, `${(await readFile(file, "utf8")).split("\n").slice(0, 100).join("\n")}\n`);
    const tables = await buildTables(folder);
    expect(tables.rows.find((row) => row.id === "asvr")!.seeds).toEqual([0]);
    expect(tables.missing.join("\n")).toContain("asvr, seed 1, test-seen: 100 of 280 questions answered");
  });
});

describe("errors name the file, the line and what is wrong", () => {
  test("a folder that is no study", async () => {
    await expect(writeReport("/nowhere")).rejects.toThrow("study.json does not exist");
  });

  test("a bad line", async () => {
    const folder = await fixture();
    await appendFile(path.join(folder, "asvr-s0/metrics.jsonl"), '{"stage":"tuning","step":-1}\n');
    await expect(buildTables(folder)).resolves.toBeDefined();
    await expect(writeReport(folder)).rejects.toThrow(/asvr-s0\/metrics\.jsonl, line 101: step: .*; loss: .*number/);
    await appendFile(path.join(folder, "asvr-s0/evaluation/test-seen/predictions.jsonl"), "{");
    await expect(buildTables(folder)).rejects.toThrow(/predictions\.jsonl, line 281: not valid JSON/);
  });

  test("but a metrics line that is still being written is none", async () => {
    const folder = await fixture();
    const file = path.join(folder, "asvr-s0/metrics.jsonl");
    await writeReport(folder);
    const whole = await readFile(path.join(folder, "report.md"), "utf8");
    await appendFile(file, '{"stage":"tuning","st');
    await writeReport(folder);
    expect(await readFile(path.join(folder, "report.md"), "utf8")).toBe(whole);
  });

  test("an attention map of the wrong size", async () => {
    const folder = await fixture();
    const file = path.join(folder, "asvr-s0/attention.json");
    const samples = JSON.parse(await readFile(file, "utf8"));
    samples[1].byLayer[2].pop();
    await writeFile(file, JSON.stringify(samples));
    await expect(writeReport(folder)).rejects.toThrow(
      /attention\.json: 1: grid 4 x 4 needs 16 attention values, got 15/,
    );
  });

  test("a picture outside the run folder", async () => {
    const folder = await fixture();
    const file = path.join(folder, "tokenizers/summary.json");
    const summary = JSON.parse(await readFile(file, "utf8"));
    summary.reconstructions[0].original = "../../secret.png";
    await writeFile(file, JSON.stringify(summary));
    await expect(writeReport(folder)).rejects.toThrow("picture ../../secret.png: a png, jpg or webp inside");
  });
});
