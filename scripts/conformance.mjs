// Writes docs/conformance.md: what the paper says, which setting or code is that, which test shows it, and what was
// measured. A file, symbol or test that does not exist is an error; measured values are read from docs/results. With
// --check it writes nothing and fails where the document says something else.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const at = (path) => new URL(`../${path}`, import.meta.url);
const [table1, table2, table8] = ["table1", "table2", "table8"].map((name) =>
  JSON.parse(readFileSync(at(`docs/results/${name}.json`), "utf8")),
);

/** Of a recorded table's reading, the paragraph whose topic begins so. */
function reading(topic, { table, reading: all } = table1) {
  const found = all.find((one) => one.topic.startsWith(topic));
  if (!found) throw new Error(`docs/results/${table}.json has no reading on ${topic}`);
  return found.text;
}

const points = (value) => value.toFixed(1).replace("-", "−");
const printed = (id) => table1.paper.find((row) => row.id === id).mean;
const paperGap = (id, to) => `paper ${points(printed(id) - printed(to))} points`;

/** Paths begin in packages/asvr/src or packages/torch/src. */
const bases = ["packages/asvr/src", "packages/torch/src"];

const statements = {
  "The model (Sec. 3.1, 3.3)": [
    {
      where: "Sec. 3.1",
      says: "A picture's features pass a projector (Linear, GELU, Linear) and stand among the text's embeddings in a causal language model",
      code: ["model/lvlm.ts", "VisionLanguageModel"],
      tests: [
        ["model/lvlm.golden.test.ts", "g_asvr_llama"],
        ["checkpoints/llava.golden.test.ts", "c_llava"],
      ],
    },
    {
      where: "Sec. 4.1",
      says: "Encoder: SigLIP so400m, 384 px, patch 14; the second-last layer's hidden state, 729 positions, no norm after it",
      code: ["recipes/baselines.ts", "selectLayer"],
      tests: [["vision/siglip.golden.test.ts", "a_siglip_vision"]],
    },
    {
      where: "Sec. 4.1, Table 2",
      says: "Language models: Vicuna (Llama) and Mistral; Qwen2 in the authors' code",
      code: ["language/llama.ts", "LlamaForCausalLM"],
      tests: [
        ["language/llama.golden.test.ts", "b_llama"],
        ["language/llama.golden.test.ts", "b_mistral"],
        ["language/llama.golden.test.ts", "b_qwen2"],
      ],
    },
    {
      where: "Table 3",
      says: "AnyRes: the whole picture and its tiles, as LLaVA-NeXT",
      code: ["model/llava-next.ts", "LlavaNext"],
      tests: [["checkpoints/llava.golden.test.ts", "m_llava_next"]],
    },
    {
      where: "Sec. 3.3",
      says: "A visual head predicts the codes of a position one depth after the other (wiring: the authors' code)",
      code: ["supervision/visual-head.ts", "VisualHead"],
      tests: [["supervision/visual-head.golden.test.ts", "d_visual_head"]],
    },
  ],
  "The tokenizers (Sec. 3.2, Tables 9 and 10)": [
    {
      where: "Sec. 3.2",
      says: "Residual quantization: D = 8 codes a position, one codebook of 16,384 for all depths",
      code: ["tokenizers/residual-quantizer.ts", "ResidualQuantizer"],
      tests: [["tokenizers/residual-quantizer.golden.test.ts", "e_rq_ema"]],
    },
    {
      where: "Sec. 3.2",
      says: "Semantic codes from a late encoder layer, appearance codes from an early one",
      code: ["recipes/table1.ts", "tokenizers"],
      tests: [
        [
          "tokenizers/visual-tokenizer.test.ts",
          "both branches give codes of the promised shape and embed them cumulatively",
        ],
      ],
      measured: () => reading("Semantic or appearance"),
    },
    {
      where: "Sec. 3.2",
      says: "DualToken's published tokenizers give these codes",
      code: ["tokenizers/dualtoken.ts", "DualToken"],
      tests: [["tokenizers/dualtoken.golden.test.ts", "e_dualtoken"]],
    },
    {
      where: "Tables 9 and 10",
      says: "Other semantic tokenizers: VILA-U's",
      code: ["tokenizers/siglip-tokenizer.ts", "SiglipTokenizer"],
      tests: [["tokenizers/vilau.golden.test.ts", "e_vilau"]],
    },
    {
      where: "Tables 9 and 10",
      says: "Towers that a tokenizer may quantize: SigLIP 2, DINOv3, Depth Anything",
      code: ["tokenizers/semantic-branch.ts", "SemanticBranch"],
      tests: [
        ["vision/siglip2.golden.test.ts", "l_siglip2"],
        ["vision/dinov3.golden.test.ts", "l_dinov3"],
        ["vision/depth-anything.golden.test.ts", "l_depth_anything"],
        ["tokenizers/visual-tokenizer.test.ts", "a semantic branch of a DINOv3 tower quantizes its patches"],
      ],
    },
  ],
  "The objective (Sec. 3.1, Eq. 1 to 3)": [
    {
      where: "Eq. 1",
      says: "L_text: −log p of the answer's tokens alone",
      code: ["data/samples.ts", "buildSample"],
      tests: [["data/samples.test.ts", "supervises the answers and what ends them, nothing else"]],
    },
    {
      where: "Eq. 2",
      says: "L_vision: −log p of the codes, the mean over positions; over the D depths too (authors' code)",
      code: ["supervision/reconstruction.ts", "reconstructionNll"],
      tests: [
        ["supervision/visual-head.golden.test.ts", "d_visual_head"],
        ["supervision/reconstruction.test.ts", "positions at a time give the loss and the gradients of autograd"],
      ],
    },
    {
      where: "Eq. 3",
      says: "L = L_text + L_vision; here `supervision.weight` times L_vision, 1 in the paper",
      code: ["model/lvlm.ts", "totalLoss"],
      tests: [
        ["model/lvlm.golden.test.ts", "g_asvr_llama"],
        [
          "model/packing-equality.test.ts",
          "micro-batches, divided by the counts of the whole step, add up to the whole batch",
        ],
      ],
    },
  ],
  "Training (Sec. 3.4, 4.1)": [
    {
      where: "Sec. 3.4",
      says: "Two stages: projector and head on captions, then the language model too on instructions; encoder and tokenizer stay frozen",
      code: ["recipes/baselines.ts", "trainable"],
      tests: [["recipes/recipe.test.ts", "every row of Table 1 is a recipe at both scales"]],
    },
    {
      where: "Sec. 4.1, authors' scripts",
      says: "AdamW without weight decay, cosine with 3% warm-up, gradients clipped at 1",
      code: ["recipes/recipe.ts", "optimization"],
      tests: [
        ["optim/optim.golden.test.ts", "k_optimizer"],
        ["recipes/recipe.test.ts", "what is left out has the authors' setting"],
      ],
    },
    {
      where: "Sec. 4.1",
      says: "Templates: `plain` for captions, `v1` for Vicuna",
      code: ["language/conversation.ts", "templates"],
      tests: [["language/conversation.golden.test.ts", "j_conversations"]],
    },
  ],
  "Results (Tables 1 to 10), at the micro scale": [
    {
      where: "Table 1",
      says: "ASVR is ahead of text supervision alone",
      code: ["recipes/table1.ts", "table1Rows"],
      tests: [["recipes/paper-tables.test.ts", "ASVR is 3.0 above the baseline, appearance codes are 1.8 below it"]],
      measured: () => `${paperGap("asvr", "llava")}. ${reading("Equal steps")} ${reading("Equal time")}`,
    },
    {
      where: "Table 1",
      says: "Appearance codes do not help, both kinds less than semantic codes alone",
      code: ["supervision/supervision.ts", "DualSupervision"],
      tests: [["recipes/recipe.test.ts", "every row of Table 1 is a recipe at both scales"]],
      measured: () => `${paperGap("appearance", "llava")} for appearance codes. ${reading("Both kinds of codes")}`,
    },
    {
      where: "Table 1",
      says: "It helps with discrete input too",
      code: ["parts/codes.ts", "visualInputOf"],
      tests: [["recipes/recipe.test.ts", "every row of Table 1 is a recipe at both scales"]],
      measured: () => reading("Discrete input"),
    },
    {
      where: "Table 8",
      says: "Supervision in both stages is better than in tuning alone: `stages.pretraining.supervised`",
      code: ["recipes/table1.ts", "supervised"],
      tests: [["recipes/recipe.test.ts", "every row of Table 1 is a recipe at both scales"]],
      measured: () => `Table 1: ${reading("Stages")} Table 8: ${reading("codes in instruction tuning only", table8)}`,
    },
    {
      where: "Table 8",
      says: "A tokenizer of a quarter of the pictures gives codes that help less",
      code: ["recipes/table8.ts", "table8"],
      tests: [["studies/plan.test.ts", "Table 8 has a tokenizer for each share of the pictures"]],
      measured: () => reading("tokenizer of a quarter", table8),
    },
    {
      where: "Table 2",
      says: "It helps with more data, and with other language models",
      code: ["recipes/table2.ts", "table2"],
      tests: [["studies/plan.test.ts", "Table 2 has a language model for each shape"]],
      measured: () =>
        ["semantic codes, half", "semantic codes, all", "semantic codes, LLM with one key-value head"]
          .map((topic) => reading(topic, table2))
          .join(" "),
    },
    {
      where: "not in the paper",
      says: "A control: codes of another picture as targets, which can only teach what is not in the picture",
      code: ["parts/codes.ts", "codesOfAnother"],
      tests: [["recipes/recipe.test.ts", "every row of Table 1 is a recipe at both scales"]],
      measured: () => reading("Control"),
    },
  ],
  "Evaluation (Sec. 4.1, Table 5) and figures": [
    {
      where: "Sec. 4.1",
      says: "The average is the plain mean of 14 benchmarks, MME divided by 28",
      code: ["recipes/paper-tables.ts", "paperTables"],
      tests: [
        ["recipes/paper-tables.test.ts", "$name: the printed average is the mean of the 14 benchmarks, within 0.06"],
      ],
    },
    {
      where: "Table 5",
      says: "Answers are scored as the references do; where these disagree, by a named protocol over the same answers",
      code: ["evaluation/benchmarks/score.ts", "protocol"],
      tests: [
        ["evaluation/scoring/scoring.golden.test.ts", "golden $"],
        ["evaluation/benchmarks/score.test.ts", "protocols differ where the references do"],
      ],
    },
    {
      where: "Figures 3 and 4",
      says: "Attention of the last token over the visual tokens, baseline beside ASVR: `asvr attention`",
      code: ["analysis/picture-attention.ts", "attendToPicture"],
      tests: [
        ["analysis/picture-attention.test.ts", "attention is softmax(q kᵀ / √d), from the projections by themselves"],
        ["analysis/picture-attention.test.ts", "takes the fused kernel once a layer and makes no weights"],
      ],
      measured: () => "differs by less than 1e-5, also with grouped keys and sliding windows (the test's bound)",
    },
    {
      where: "not in the paper",
      says: "Surprise: −log p of each position's codes, by depth: `asvr surprise`",
      code: ["analysis/surprise.ts", "pictureSurprise"],
      tests: [["cli/figure-commands.slow.test.ts", "the mean is the run's own loss on the picture"]],
    },
  ],
};

/** Where the paper and the authors' code, or the code and its intention, part: a setting for each that has two sides. */
const differences = [
  {
    says: "Which hidden state predicts the codes of a position: the one before it (Eq. 2 as printed), or the one at it (the authors' code, which gave the numbers)",
    ours: "the authors': `supervision.alignment` is `same`; `next` is the equation",
    code: ["model/layout.ts", "readoutOf"],
    tests: [
      ["supervision/visual-head.golden.test.ts", "shifted"],
      ["model/packing-equality.test.ts", "any samples, alignment"],
    ],
    measured: () => reading("Alignment"),
  },
  {
    says: "Running means of the codebooks: each depth's own residual, or, as the released DualToken does because its cached residuals change in place, the one after the last depth",
    ours: "each its own: `residuals` is `own`; `last` is the release",
    code: ["tokenizers/residual-quantizer.ts", "residuals"],
    tests: [["tokenizers/residual-quantizer.golden.test.ts", "as_released/"]],
  },
  {
    says: "Text-only samples: the release counts the codes of a black picture, predicted from zeros",
    ours: "they add nothing to L_vision, and are not counted; no setting gives the release's dummy, a test computes it",
    code: ["model/lvlm.ts", "losses"],
    tests: [["model/lvlm.golden.test.ts", "out/loss_vision_images_only"]],
  },
  {
    says: "Label masks: the release tokenises turns again, and drops a whole sample where the lengths disagree",
    ours: "from the template's spans, which always fit; equal wherever the release did not give up",
    code: ["language/conversation.ts", "encodeSpans"],
    tests: [["language/conversation.golden.test.ts", "j_conversations"]],
  },
  {
    says: "The residual of the head's feed-forward is the normalised input, not the sum before the norm; its biases are unused",
    ours: "the authors', as published heads depend on it",
    code: ["supervision/visual-head.ts", "DepthLayer"],
    tests: [["supervision/visual-head.golden.test.ts", "d_visual_head"]],
  },
  {
    says: "What losses are divided by: the counts of a micro-batch, as is common, or those of the whole step",
    ours: "the whole step's, over micro-batches: splitting a step changes nothing",
    code: ["model/lvlm.ts", "lossScales"],
    tests: [
      [
        "model/packing-equality.test.ts",
        "micro-batches, divided by the counts of the whole step, add up to the whole batch",
      ],
    ],
  },
  {
    says: "Logits of all codes held in float32 at once; the tokenizer run on every picture at every step",
    ours: "a depth at a time with its gradient on the spot; codes made once and kept",
    code: ["supervision/reconstruction.ts", "accumulateReconstructionNll"],
    tests: [["supervision/reconstruction.test.ts", "positions at a time give the loss and the gradients of autograd"]],
  },
  {
    says: "How a picture becomes the encoder's square: as it is in pretraining, padded with the mean colour in tuning",
    ours: "`data.fit`: `pad` or `stretch`, for both stages and for the codes alike",
    code: ["recipes/recipe.ts", "fit"],
    tests: [["data/preprocess.test.ts", "padding puts the picture in the middle of the mean colour"]],
  },
  {
    says: "Features before the projector: as the encoder gives them",
    ours: "`normaliseFeatures`: off at paper scale; on at the micro scale, whose encoder is trained here",
    code: ["parts/codes.ts", "continuousInput"],
    tests: [["recipes/recipe.test.ts", "every row of Table 1 is a recipe at both scales"]],
  },
];

const problems = [];

/** The file's path in the repository and its text. */
function source(path) {
  const base = bases.find((one) => existsSync(at(`${one}/${path}`)));
  if (base !== undefined) return readFileSync(at(`${base}/${path}`), "utf8");
  problems.push(`${path} does not exist`);
  return "";
}

function requireIn(path, wanted, kind) {
  const text = source(path);
  const isThere = kind === "symbol" ? new RegExp(`\\b${wanted}\\b`).test(text) : text.includes(wanted);
  if (!isThere) problems.push(`${path} has no ${kind} ${JSON.stringify(wanted)}`);
}

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function codeCell([path, symbol]) {
  requireIn(path, symbol, "symbol");
  return `\`${path}\` \`${symbol}\``;
}

function testCell(tests) {
  for (const [path, name] of tests) requireIn(path, name, "test");
  return tests.map(([path, name]) => `\`${path}\`: ${name.replace(/\/$|\s?\$$/, "")}`).join("; ");
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function written() {
  const sections = Object.entries(statements).map(([title, list]) => {
    const rows = list.map(({ where, says, code, tests, measured }) => [
      where,
      says,
      codeCell(code),
      testCell(tests),
      measured?.() ?? "",
    ]);
    return `## ${title}\n\n${table(["where", "statement", "code", "test that shows it", "measured"], rows)}`;
  });
  const rows = differences.map(({ says, ours, code, tests, measured }) => [
    says,
    ours,
    codeCell(code),
    testCell(tests),
    measured?.() ?? "",
  ]);
  return `# Conformance

What the paper states, in our words, and what of this repository stands for it. Made by \`node scripts/conformance.mjs\`,
which looks each file, symbol and test up; measured values are those of [docs/results](results/README.md): Table 1 at
the micro scale where no other table is named, \`${table1.command}\`, ${table1.date.slice(0, 10)}. They are not the paper's experiment: other pictures,
a small model, exact match. Paths begin in \`packages/asvr/src\` or \`packages/torch/src\`; a test that is called like
\`d_visual_head\` compares with every reference output of that name.

${sections.join("\n\n")}

## Where paper, released code and this repository differ

${table(["what", "here", "code", "test that shows it", "measured"], rows)}
`;
}

const document = "docs/conformance.md";
const wanted = written();
const now = existsSync(at(document)) ? readFileSync(at(document), "utf8") : "";
if (problems.length > 0) {
  process.stderr.write(`scripts/conformance.mjs: ${problems.join("\n")}\n`);
  process.exitCode = 1;
} else if (wanted !== now) {
  if (process.argv.includes("--check")) {
    process.stderr.write(
      `${document}: it is not what scripts/conformance.mjs writes; run node scripts/conformance.mjs\n`,
    );
    process.exitCode = 1;
  } else writeFileSync(at(document), wanted);
}
