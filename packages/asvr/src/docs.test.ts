import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { leafCommands } from "./cli/commands.js";
import { MICRO_LICENCES } from "./micro/licences.js";

// Documentation names files, symbols, commands and options: all of them must exist.

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const documents = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "packages/asvr/README.md",
  "packages/torch/README.md",
  "bench/README.md",
  "examples/README.md",
  ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`),
  "docs/results/README.md",
].filter((name) => name.endsWith(".md"));

/** Where a path in the text may begin; the first ones in the whole repository, the others within a package. */
const bases = ["", "packages/asvr", "packages/asvr/src", "packages/torch", "packages/torch/src"];

const commands = leafCommands();
const byName = new Map(commands.map((command) => [fullName(command), command]));

test.each(documents)("%s: links lead to files", (document) => {
  const targets = Array.from(proseOf(document).matchAll(/\]\(([^)]+)\)/g), ([, target]) => target!);
  const local = targets.filter((target) => !/^[a-z]+:/.test(target) && !target.startsWith("#"));
  const missing = local.filter((target) => !existsSync(join(root, dirname(document), target.split("#")[0]!)));
  expect(missing).toEqual([]);
});

test.each(documents)("%s: paths in the text exist", (document) => {
  const missing = inlineCode(proseOf(document)).filter((code) => isPath(code) && findFile(code) === undefined);
  expect(missing).toEqual([]);
});

test.each(documents)("%s: commands and options exist", (document) => {
  const text = readFileSync(join(root, document), "utf8");
  expect(codeOf(text).flatMap(wrongIn)).toEqual([]);
});

test("the table of paper and code names symbols that are in their files", () => {
  const rows = proseOf("docs/how-asvr-works.md").split("\n");
  const checked = rows.flatMap((row) => {
    const [file, ...symbols] = inlineCode(row);
    if (!row.startsWith("|") || !file?.endsWith(".ts")) return [];
    const source = readFileSync(findFile(file)!, "utf8");
    return symbols.map((symbol) => ({ file, symbol, found: new RegExp(`\\b${symbol}\\b`).test(source) }));
  });
  expect(checked.length).toBeGreaterThan(15);
  expect(checked.filter(({ found }) => !found)).toEqual([]);
});

test("the README's measured tables are those of docs/results and of the benchmarks", () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, "scripts/readme-tables.mjs"), "--check"]);
  expect(status, String(stderr)).toBe(0);
});

test("the conformance table names files, symbols, tests and measurements that are there", () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, "scripts/conformance.mjs"), "--check"]);
  expect(status, String(stderr)).toBe(0);
});

test("a line for every package whose content is in the pictures, with its licence", () => {
  const lines = proseOf("docs/pictures.md").split("\n");
  const missing = MICRO_LICENCES.filter(
    (entry) => !lines.some((line) => line.includes(`\`${entry.package}\``) && line.includes(` ${entry.licence} `)),
  );
  expect(missing).toEqual([]);
});

/** A document without its fenced blocks. */
function proseOf(document: string): string {
  return readFileSync(join(root, document), "utf8").replaceAll(/^```.*?^```/gms, "");
}

function inlineCode(text: string): string[] {
  return Array.from(text.matchAll(/`([^`\n]+)`/g), ([, code]) => code!);
}

/** Every piece of code of a text: what stands in backticks, and each line of the blocks. */
function codeOf(text: string): string[] {
  const blocks = Array.from(text.matchAll(/^```.*?\n(.*?)^```/gms), ([, block]) => block!.split("\n"));
  return [...blocks.flat(), ...inlineCode(text.replaceAll(/^```.*?^```/gms, ""))];
}

function isPath(code: string): boolean {
  if (/^(packages|bench|examples|scripts|docs|\.ci)\/[\w./-]*$/.test(code)) return true;
  return /^[\w./-]+\/[\w.-]+\.(ts|mjs|cc)$/.test(code);
}

function findFile(path: string): string | undefined {
  return bases.map((base) => join(root, base, path)).find((candidate) => existsSync(candidate));
}

/** What a piece of code names and does not exist: an `asvr` command, one of its options, a script of npm's. */
function wrongIn(code: string): string[] {
  const [text = ""] = code.split(" # ");
  const scripts = Array.from(text.matchAll(/\bnpm run ([\w:-]+)/g), ([, name]) => name!);
  const wrong = scripts.filter((name) => !(name in rootScripts())).map((name) => `npm run ${name}`);
  const call = /(?:^|[ "])asvr ([a-z].*)/.exec(text)?.[1];
  if (call === undefined) return [...wrong, ...lonely(text)];
  const name = [...byName.keys()].find((known) => call === known || call.startsWith(`${known} `));
  if (name === undefined) return [...wrong, `asvr ${call}`];
  return [...wrong, ...optionsOf(call).filter((option) => !has(byName.get(name)!, option))];
}

/** An option by itself must be one of some command's. */
function lonely(code: string): string[] {
  return code.startsWith("--")
    ? optionsOf(code).filter((option) => !commands.some((command) => has(command, option)))
    : [];
}

function optionsOf(call: string): string[] {
  return Array.from(call.matchAll(/(?:^| )(--[a-z-]+)/g), ([, option]) => option!);
}

function has(command: Command, option: string): boolean {
  return option === "--help" || command.options.some(({ long }) => long === option);
}

function fullName(command: Command): string {
  return command.parent ? `${command.parent.name()} ${command.name()}` : command.name();
}

function rootScripts(): Record<string, string> {
  return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> }).scripts;
}
