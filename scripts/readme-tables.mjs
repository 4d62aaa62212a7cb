// Writes the measured tables of README.md and bench/README.md: from docs/results/table1.json, which
// `asvr reproduce … --record` makes, and from bench/figures.json, the last lines of `npm run bench -- NAME --json`. With
// --check it writes nothing and fails where a file says something else.
import { readFileSync, writeFileSync } from "node:fs";

/** The rows that the README shows: those of `npm run demo`. */
const shownRows = ["llava", "llava-equal-time", "appearance", "asvr"];

const at = (path) => new URL(`../${path}`, import.meta.url);
const read = (path) => readFileSync(at(path), "utf8");
const json = (path) => JSON.parse(read(path));

const points = (value) => value.toFixed(1).replace("-", "−");
const signed = (value) => (value > 0 ? "+" : "") + points(value);
const interval = ([low, high]) => `[${points(low)}, ${points(high)}]`;
const whole = (value) => value.toLocaleString("en-US");
const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const digits = (value) => Number(value.toPrecision(3)).toString();

function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function results({ rows, types, command, revision, date, machine, versions, reading }) {
  const guessing = points(average(Object.values(types).map(({ majority }) => majority)));
  const fewest = Math.min(...rows.map(({ seeds }) => seeds.length));
  const difference = ({ against, mean, interval: bounds }) =>
    `${signed(mean)} ${interval(bounds)}${against === "llava" ? "" : `, of \`${against}\``}`;
  const shown = rows.filter(({ id }) => shownRows.includes(id));
  const measured = shown.map((row) => [
    `\`${row.id}\``,
    whole(row.steps),
    `${points(row.mean)} ${interval(row.interval)}`,
    row.difference ? difference(row.difference) : "",
    row.novel === undefined ? "" : points(row.novel),
  ]);
  const [equalSteps] = reading;
  return [
    `Exact match on questions about unseen scenes, in percent: the mean of ${Object.keys(types).length} question types, ` +
      `with 95% t intervals over ${fewest} seeds. Giving each type's most frequent answer scores ${guessing}.`,
    table(["row", "steps", "mean", "minus `llava`", "unseen drawings"], measured),
    equalSteps.text,
    `Made by \`${command}\` on ${date.slice(0, 10)}, at revision ${revision}, on ${machine.cores} cores of ` +
      `${machine.cpu}, libtorch ${versions.libtorch}.`,
  ].join("\n\n");
}

/** The figures of each bench: what, the unit, both sides and their ratio, its spread, and the goal where there is one. */
function figures(lines) {
  const {
    operators,
    "micro-step": step,
    startup,
    head,
    demo,
    decode,
    eval: evaluation,
  } = Object.fromEntries(lines.map(({ bench, ratio, parts }) => [bench, { ratio, ...parts }]));
  const one = (what, figure, goal, unit = "") => ({ what, goal, unit, ...figure });
  const mean = (what, ratio, goal, spread) => ({ what, ratio, goal, spread });
  const withRounds = (rounds, list) => list.map((row) => ({ rounds, ...row }));
  return [
    ...withRounds(operators.rounds, [
      mean(
        "`operators`, without autograd, geometric mean",
        operators["without autograd"],
        0.65,
        operators.spread["without autograd"],
      ),
      mean(
        "`operators`, with autograd, geometric mean",
        operators["with autograd"],
        0.85,
        operators.spread["with autograd"],
      ),
    ]),
    ...withRounds(step.rounds, [
      mean("`micro-step`, float32, geometric mean of both", step.ratio, 0.77),
      one("`micro-step`, `micro/llava`, float32", step.cases["llava float32"], undefined, "ms"),
      one("`micro-step`, `micro/asvr`, float32", step.cases["asvr float32"], undefined, "ms"),
      one("`micro-step`, `micro/llava`, bfloat16", step.cases["llava bfloat16"], undefined, "ms"),
      one("`micro-step`, `micro/asvr`, bfloat16", step.cases["asvr bfloat16"], undefined, "ms"),
      mean("`micro-step`, float32, the peer with our malloc settings", step["same malloc"]),
    ]),
    ...withRounds(startup.rounds, [one("`startup`", startup, 0.6, "s")]),
    ...withRounds(head.rounds, [
      one("`head`, classifiers and loss, time", head.time, 0.8, "s"),
      one("`head`, classifiers and loss, memory", head.memory, 0.25, "MB"),
    ]),
    ...withRounds(1, [
      one("`head`, the whole head, time", head.whole.time, undefined, "s"),
      one("`head`, the whole head, memory", head.whole.memory, undefined, "MB"),
    ]),
    ...withRounds(demo.rounds, [one("`demo`, wall time", demo, 0.6, "s")]),
    ...withRounds(decode.rounds, [
      one("`decode`, 7B in bfloat16, a token", decode.phases.token, 0.83, "s"),
      one("`decode`, 7B, picture and question until the first token", decode.phases["first token"], undefined, "s"),
      one("`decode`, 7B, peak memory", scaled(decode.peakBytes, 1e-6), undefined, "MB"),
    ]),
    ...withRounds(evaluation.rounds, [
      one("`eval`, six questions of each picture, wall time", evaluation, 0.25, "s"),
      one("`eval`, the same, time of the processors", evaluation.cpu, undefined, "s"),
    ]),
  ];
}

/** A figure in another unit. */
function scaled(figure, by) {
  return { ...figure, ours: figure.ours * by, peer: figure.peer * by };
}

function figuresTable(list) {
  const value = (number, unit) => (number === undefined ? "" : `${digits(number)} ${unit}`);
  const spread = (bounds) => (bounds ? `${bounds.map((bound) => bound.toFixed(2)).join(" to ")}` : "");
  const head = ["figure", "ours", "peer", "ratio", "goal", "spread", "rounds"];
  return table(
    head,
    list.map((row) => [
      row.what,
      value(row.ours, row.unit),
      value(row.peer, row.unit),
      row.ratio.toFixed(2),
      row.goal === undefined ? "" : `≤ ${row.goal}`,
      row.rounds > 1 ? spread(row.spread) : "",
      String(row.rounds),
    ]),
  );
}

/** The README's three lines: what the most of a user's time goes to. */
function figuresInShort(list) {
  const ratio = (what) => list.find((row) => row.what.startsWith(what)).ratio.toFixed(2);
  return [
    "Time relative to an optimised PyTorch version of the same code (ours ÷ theirs; lower is better):",
    [
      `- a training step of the micro scale: ${ratio("`micro-step`, float32, geometric mean")}; the whole demo: ${ratio("`demo`")}`,
      `- a token of a 7B model in bfloat16: ${ratio("`decode`, 7B in bfloat16, a token")}`,
      `- answering six questions of each picture: ${ratio("`eval`, six questions")}`,
    ].join("\n"),
  ].join("\n\n");
}

/** The text with what stands between the two marks replaced. */
function filled(text, mark, content) {
  const [begin, end] = [`<!-- ${mark}:begin -->`, `<!-- ${mark}:end -->`];
  const [before, rest = ""] = text.split(begin);
  const [, after] = rest.split(end);
  if (after === undefined) throw new Error(`${begin} or ${end} is missing`);
  return `${before}${begin}\n\n${content}\n\n${end}${after}`;
}

const measured = json("bench/figures.json");
const bench = figures(measured.benches);
const machine = `Measured on ${measured.date}: ${measured.machine}.`;
const documents = {
  "README.md": (text) =>
    filled(filled(text, "results", results(json("docs/results/table1.json"))), "bench", figuresInShort(bench)),
  "bench/README.md": (text) => filled(text, "bench", `${machine}\n\n${figuresTable(bench)}`),
};
for (const [path, write] of Object.entries(documents)) {
  const now = read(path);
  const wanted = write(now);
  if (wanted === now) continue;
  if (process.argv.includes("--check")) {
    process.stderr.write(`${path}: its tables are not those that were measured; run node scripts/readme-tables.mjs\n`);
    process.exitCode = 1;
  } else writeFileSync(at(path), wanted);
}
