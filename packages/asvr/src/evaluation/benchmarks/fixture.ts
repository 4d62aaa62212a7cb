/**
 * A few questions of each benchmark in its published format, with tiny pictures: for tests, and for
 * `scripts/benchmark-fixtures.mjs`, which keeps them in the repository.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parquetWriteFile } from "hyparquet-writer";
import sharp from "sharp";
import { MME_CATEGORIES } from "../scoring/mme.js";
import { letterOf } from "../scoring/options.js";

type SchemaElement = NonNullable<Parameters<typeof parquetWriteFile>[0]["schema"]>[number];
type Kind = "string" | "int" | "strings" | "image" | "images" | "types";
/** [name, kind, a value a row] */
type Column = readonly [name: string, kind: Kind, data: readonly unknown[]];

const optional = { repetition_type: "OPTIONAL" } as const;
const text = (name: string): SchemaElement => ({ name, type: "BYTE_ARRAY", converted_type: "UTF8", ...optional });
const image = (name: string): SchemaElement[] => [
  { name, num_children: 2, ...optional },
  { name: "bytes", type: "BYTE_ARRAY", ...optional },
  text("path"),
];
const list = (name: string, element: SchemaElement[]): SchemaElement[] => [
  { name, converted_type: "LIST", num_children: 1, ...optional },
  { name: "list", repetition_type: "REPEATED", num_children: 1 },
  ...element,
];
const schemas: Record<Kind, (name: string) => SchemaElement[]> = {
  string: (name) => [text(name)],
  int: (name) => [{ name, type: "INT64", ...optional }],
  strings: (name) => list(name, [text("element")]),
  image,
  images: (name) => list(name, image("element")),
  types: (name) => [{ name, num_children: 3, ...optional }, ...["structural", "semantic", "detailed"].map(text)],
};

/** Writes every fixture into `folder`, each under its hub id. Equal on every call. */
export async function writeBenchmarkFixtures(folder: string): Promise<void> {
  const pictures = await Promise.all(Array.from({ length: 30 }, (_, index) => picture(index)));
  const struct = (index: number, path: string | null = null) => ({ bytes: pictures[index % pictures.length]!, path });
  const place = (path: string) => join(folder, path);
  const rows = <T>(count: number, row: (index: number) => T) => Array.from({ length: count }, (_, index) => row(index));
  const column = <T>(name: string, kind: Kind, count: number, value: (index: number) => T): Column => [
    name,
    kind,
    rows(count, value),
  ];

  await parquet(place("lmms-lab/textvqa/data/validation-00000-of-00002.parquet"), textVqa(0, struct));
  await parquet(place("lmms-lab/textvqa/data/validation-00001-of-00002.parquet"), textVqa(6, struct));
  await parquet(place("lmms-lab/DocVQA/DocVQA/validation-00000-of-00001.parquet"), [
    column("questionId", "string", 8, (i) => String(100 + i)),
    column("question", "string", 8, (i) => `What is the amount in line ${i}?`),
    column("question_types", "strings", 8, (i) => (i % 2 ? ["layout"] : ["form", "layout"])),
    column("image", "image", 8, (i) => struct(i >> 1)),
    column("docId", "int", 8, (i) => BigInt(40 + (i >> 1))),
    column("ucsf_document_id", "string", 8, () => "abcd0001"),
    column("ucsf_document_page_no", "string", 8, () => "1"),
    column("answers", "strings", 8, (i) => [`$1,${i}00.50`, `1,${i}00.50`]),
    column("data_split", "string", 8, () => "val"),
  ]);
  await parquet(place("echo840/OCRBench/data/test-00000-of-00001.parquet"), [
    column("dataset", "string", 10, (i) => (i === 9 ? "HME100k" : "IIIT5K")),
    column("question", "string", 10, () => "what is written in the image?"),
    column("question_type", "string", 10, (i) => ocrTypes[i]!),
    column("answer", "strings", 10, (i) => (i === 9 ? ["\\frac { a } { b }"] : [`WORD${i}`, `word ${i}`])),
    column("image", "image", 10, (i) => struct(i)),
  ]);
  await parquet(place("lmms-lab/ChartQA/data/test-00000-of-00001.parquet"), [
    column("type", "string", 8, (i) => (i < 4 ? "human_test" : "augmented_test")),
    column("question", "string", 8, (i) => `What is the value of bar ${i}?`),
    column("answer", "string", 8, (i) => ["12", "0.5", "45%", "Yes", "2019", "[1, 2]", "-3", "Blue"][i]!),
    column("image", "image", 8, (i) => struct(i >> 1)),
  ]);
  await mmbenchTsv(place("lmms-lab/MMBench_EN/MMBench_DEV_EN.tsv"), pictures);
  const mmeCategories = Object.values(MME_CATEGORIES).flat();
  await parquet(place("lmms-lab/MME/data/test-00000-of-00001.parquet"), [
    column("question_id", "string", 56, (i) => `${mmeCategories[i >> 2]}/${i >> 1}.png`),
    column("image", "image", 56, (i) => struct(i >> 1)),
    column(
      "question",
      "string",
      56,
      (i) => `Is there a ${i % 2 ? "cat" : "dog"} in this image? Please answer yes or no.`,
    ),
    column("answer", "string", 56, (i) => (i % 2 ? "No" : "Yes")),
    column("category", "string", 56, (i) => mmeCategories[i >> 2]!),
  ]);
  await parquet(place("lmms-lab/SEED-Bench/data/test-00000-of-00001.parquet"), [
    column("answer", "string", 11, (i) => letterOf(i % 4)),
    ...["a", "b", "c", "d"].map((letter) => column(`choice_${letter}`, "string", 11, (i) => `${letter} of ${i}`)),
    column("data_id", "string", 11, (i) => `${i}`),
    column("data_type", "string", 11, (i) => (i < 9 ? "image" : "video")),
    column("question", "string", 11, (i) => `How many towels are in picture ${i}?`),
    column("question_id", "string", 11, (i) => `q${i}`),
    column("question_type_id", "int", 11, (i) => BigInt(i + 1)),
    column("image", "images", 11, (i) => (i < 9 ? [struct(i)] : [struct(i), struct(i + 1)])),
    column("segment", "strings", 11, () => []),
  ]);
  await parquet(place("lmms-lab/GQA/testdev_balanced_instructions/testdev-00000-of-00001.parquet"), [
    column("id", "string", 9, (i) => `2013${i}`),
    column("imageId", "string", 9, (i) => `n${Math.floor(i / 3)}`),
    column("question", "string", 9, (i) => `Is picture ${i} overcast?`),
    column("answer", "string", 9, (i) => ["yes", "no", "baseball bat"][i % 3]!),
    column("fullAnswer", "string", 9, () => "Yes, it is."),
    column("types", "types", 9, (i) => ({
      structural: i % 3 < 2 ? "verify" : "query",
      semantic: "attr",
      detailed: "x",
    })),
  ]);
  await parquet(place("lmms-lab/GQA/testdev_balanced_images/testdev-00000-of-00001.parquet"), [
    column("id", "string", 3, (i) => `n${i}`),
    column("image", "image", 3, (i) => struct(i)),
  ]);
  await parquet(place("lmms-lab/MMMU/data/validation-00000-of-00001.parquet"), mmmu(struct));
  await parquet(place("lmms-lab/ai2d/data/test-00000-of-00001.parquet"), [
    column("question", "string", 8, (i) => `Which label is part ${i}?`),
    column("options", "strings", 8, () => ["root", "stem", "leaf", "flower"]),
    column("answer", "string", 8, (i) => String(i % 4)),
    column("image", "image", 8, (i) => struct(i >> 1)),
  ]);
  await parquet(place("lmms-lab/RealWorldQA/data/test-00000-of-00001.parquet"), [
    column("question", "string", 6, (i) => realWorldQuestion(i)),
    column("answer", "string", 6, (i) => ["A", "B", "Yes", "C", "3", "B"][i]!),
    column("image", "image", 6, (i) => struct(i)),
  ]);
  await mmvpFolder(place("MMVP/MMVP"));
  await parquet(place("lmms-lab/HallusionBench/data/image-00000-of-00001.parquet"), [
    column("category", "string", 12, (i) => (i < 4 ? "VD" : "VS")),
    column("subcategory", "string", 12, (i) => (i < 4 ? "illusion" : "chart")),
    column("visual_input", "string", 12, (i) => String(1 + ((i >> 1) % 2))),
    column("set_id", "string", 12, (i) => String(Math.floor(i / 4))),
    column("figure_id", "string", 12, (i) => String((i >> 1) % 2)),
    column("question_id", "string", 12, (i) => String(i % 2)),
    column("question", "string", 12, (i) => `Are the two lines of figure ${i >> 1} equally long?`),
    column("gt_answer", "string", 12, (i) => String((i + (i >> 1)) % 2)),
    column("gt_answer_details", "string", 12, () => "The two lines are equally long."),
    column("filename", "string", 12, (i) => `./hallusion_bench/${i >> 1}.png`),
    column("image", "image", 12, (i) => struct(i >> 1)),
  ]);
  await parquet(place("lmms-lab/POPE/data/test-00000-of-00001.parquet"), [
    column("id", "string", 18, (i) => String(i)),
    column("question_id", "string", 18, (i) => String(1 + (i % 6))),
    column("question", "string", 18, (i) => `Is there a ${i % 2 ? "snowboard" : "dog"} in the image?`),
    column("answer", "string", 18, (i) => (i % 2 ? "no" : "yes")),
    column("image_source", "string", 18, (i) => `COCO_val2014_${(i % 6) >> 1}`),
    column("image", "image", 18, (i) => struct((i % 6) >> 1)),
    column("category", "string", 18, (i) => ["adversarial", "popular", "random"][Math.floor(i / 6)]!),
  ]);
}

const ocrTypes = [
  "Regular Text Recognition",
  "Irregular Text Recognition",
  "Artistic Text Recognition",
  "Handwriting Recognition",
  "Digit String Recognition",
  "Non-Semantic Text Recognition",
  "Scene Text-centric VQA",
  "Doc-oriented VQA",
  "Key Information Extraction",
  "Handwritten Mathematical Expression Recognition",
];

type Struct = (index: number, path?: string | null) => { bytes: Uint8Array; path: string | null };

function textVqa(first: number, struct: Struct): Column[] {
  const ids = Array.from({ length: 6 }, (_, index) => first + index);
  return [
    ["image_id", "string", ids.map((id) => `picture${id >> 1}`)],
    ["question_id", "int", ids.map((id) => BigInt(34600 + id))],
    ["question", "string", ids.map((id) => `what brand is number ${id}?`)],
    ["ocr_tokens", "strings", ids.map((id) => (id % 3 === 0 ? [] : ["NOKIA", `N${id}`]))],
    ["image", "image", ids.map((id) => struct(id >> 1))],
    [
      "answers",
      "strings",
      ids.map((id) => Array.from({ length: 10 }, (_, at) => (at < 6 ? `nokia n${id}` : "unclear"))),
    ],
  ];
}

function mmmu(struct: Struct): Column[] {
  const subjects = ["Art", "Art_Theory", "Basic_Medical_Science", "Math"];
  const ids = Array.from({ length: 8 }, (_, index) => index);
  const isOpen = (id: number) => id === 7;
  const options = String.raw`["Newton's law", 'Ohm\'s law', 'Boyle', '<image 2>', 'none']`;
  return [
    ["id", "string", ids.map((id) => `validation_${subjects[id % 4]}_${1 + (id >> 2)}`)],
    ["question", "string", ids.map((id) => `<image 1> Which law is in case ${id}?`)],
    ["options", "string", ids.map((id) => (isOpen(id) ? "[]" : options))],
    ["explanation", "string", ids.map(() => "")],
    ["image_1", "image", ids.map((id) => struct(id))],
    ["image_2", "image", ids.map((id) => (id % 2 ? struct(id + 8) : null))],
    ["img_type", "string", ids.map(() => "['Diagrams']")],
    ["answer", "string", ids.map((id) => (isOpen(id) ? "12.5" : letterOf(id % 5)))],
    ["topic_difficulty", "string", ids.map(() => "Easy")],
    ["question_type", "string", ids.map((id) => (isOpen(id) ? "open" : "multiple-choice"))],
    ["subfield", "string", ids.map(() => "Law")],
  ];
}

function realWorldQuestion(index: number): string {
  if (index === 2) return "Is the light red? Please answer directly with a single word or number.";
  if (index === 4) return "How many cars are there? Please answer directly with a single word or number.";
  const options = "A. Left\nB. Right\nC. Straight on";
  return `Which way does sign ${index} point?\n${options}\nPlease answer directly with only the letter of the correct option and nothing else.`;
}

/** VLMEvalKit's form: base64 pictures, rotations that name the row with the picture, absent options empty. */
async function mmbenchTsv(file: string, pictures: readonly Uint8Array[]): Promise<void> {
  const questions = [
    {
      options: ["Maine", "Ohio", "Utah", "Iowa"],
      hint: "A map is shown.\nNorth is up.",
      category: "spatial_relationship",
    },
    { options: ["red", "blue"], hint: "", category: "attribute_recognition" },
    { options: ["one", "two", "three"], hint: "", category: "attribute_recognition" },
  ];
  const lines = [
    ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "source", "l2-category", "split"],
  ];
  for (let rotation = 0; rotation < 4; rotation++) {
    for (const [at, { options, hint, category }] of questions.entries()) {
      if (rotation >= options.length) continue;
      const turned = options.map((_, place) => options[(place + rotation) % options.length]!);
      const letters = [...turned, "", "", ""].slice(0, 4);
      const answer = letterOf(turned.indexOf(options[1]!));
      const base = String(200 + at);
      const picture = rotation === 0 ? Buffer.from(pictures[at]!).toString("base64") : base;
      const asked = `Which one is "right" in ${at}?`;
      const index = String(rotation * 1_000_000 + 200 + at);
      lines.push([index, asked, hint, ...letters, answer, category, picture, "made", "perception", "dev"]);
    }
  }
  const quoted = (cell: string) => (/["\n\t]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  await write(file, lines.map((cells) => `${cells.map(quoted).join("\t")}\n`).join(""));
}

async function mmvpFolder(folder: string): Promise<void> {
  const lines = ["lndex,Question,Options,Correct Answer"];
  for (let index = 1; index <= 8; index++) {
    lines.push(`${index},"Are the wings open, or closed (${index})?",(a) Open (b) Closed,(${index % 2 ? "a" : "b"})`);
    const jpeg = await solid(index + 40)
      .jpeg()
      .toBuffer();
    await write(join(folder, "MMVP Images", `${index}.jpg`), jpeg);
  }
  await write(join(folder, "Questions.csv"), `${lines.join("\n")}\n`);
}

async function parquet(filename: string, columns: readonly Column[]): Promise<void> {
  await mkdir(dirname(filename), { recursive: true });
  const schema = columns.flatMap(([name, kind]) => schemas[kind](name));
  parquetWriteFile({
    filename,
    columnData: columns.map(([name, , data]) => ({ name, data: [...data] })),
    schema: [{ name: "root", num_children: columns.length }, ...schema],
    rowGroupSize: 4, // several groups, as large files have them
  });
}

async function write(file: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

function picture(index: number): Promise<Uint8Array> {
  return solid(index).png().toBuffer();
}

function solid(index: number) {
  const background = { r: (index * 37) % 256, g: (index * 91) % 256, b: (index * 151) % 256 };
  return sharp({ create: { width: 12, height: 8, channels: 3, background } });
}
