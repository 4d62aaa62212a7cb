import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type RecordScores, scoreRecords } from "../evaluation/record-scores.js";
import { readText } from "../files.js";
import type { Recipe, Stage } from "../recipes/recipe.js";
import type { Prediction } from "../runs/run-folder.js";
import type { Position } from "../training/checkpoint.js";

/** The versions of transformers that exports are tested with. */
export const TRANSFORMERS = { oldest: "4.46", newest: "5.24" } as const;

/** Python that asks an exported run `question` about `picture`: `folder` is the export's. */
export const usage = `from transformers import AutoProcessor, LlavaForConditionalGeneration

processor = AutoProcessor.from_pretrained(folder)
model = LlavaForConditionalGeneration.from_pretrained(folder)
messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
prompt = processor.apply_chat_template(messages)
inputs = processor(images=picture, text=prompt, return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=16)[0, inputs["input_ids"].shape[1]:]
answer = processor.decode(made, skip_special_tokens=True)
`;

/** What a card tells of a run. */
export interface CardFacts {
  readonly recipe: Recipe;
  /** Of the checkpoint that was exported. */
  readonly position: Position;
  /** Versions, by name. */
  readonly madeWith: Readonly<Record<string, string>>;
  /** Of questions that were asked of it, by the name of the set. */
  readonly scores: ReadonlyMap<string, RecordScores>;
  readonly parameters: Readonly<Record<string, number>>;
  readonly hasHead: boolean;
}

/** The scores of every set of questions that a run has answered. */
export async function scoresOfRun(run: string): Promise<Map<string, RecordScores>> {
  const folder = join(run, "evaluation");
  const scores = new Map<string, RecordScores>();
  if (!existsSync(folder)) return scores;
  for (const name of (await readdir(folder)).sort()) {
    const file = join(folder, name, "predictions.jsonl");
    if (!existsSync(file)) continue;
    const lines = readText(file).split("\n").filter(Boolean);
    if (lines.length > 0) scores.set(name, scoreRecords(lines.map((line) => JSON.parse(line) as Prediction)));
  }
  return scores;
}

/** The README.md of an exported run: what it is, how it was trained, how it scored, how to use it. */
export function modelCard(facts: CardFacts): string {
  const { recipe, position, madeWith, parameters, hasHead } = facts;
  const { supervision, stages, data } = recipe;
  const reconstructs =
    supervision.kind === "none"
      ? "It was trained with the text loss alone."
      : `Beside the text it was trained to reconstruct codes of the picture (supervision "${supervision.kind}", ` +
        `alignment "${supervision.alignment}", weight ${supervision.weight}).`;
  const source =
    data.tuning === null
      ? "questions about composed pictures (the micro world: drawings, handwritten digits, photographs as backgrounds)"
      : "its user's own pictures and questions";
  return `---
library_name: transformers
pipeline_tag: image-text-to-text
language: en
tags: [llava, asvr]
---

# ${recipe.name}, seed ${recipe.seed}: ${recipe.title}

A vision-language model trained with asvr (${recipe.scale} scale) on ${source}. ${reconstructs}

## How it was trained

${table(["stage", "steps", "batch", "learning rate", "trainable", "template"], Object.entries(stages).map(stageRow))}

${position.stage === "tuning" && position.step >= stages.tuning.steps ? "Training is complete." : `Training is not complete: this is stage ${position.stage}, step ${position.step}.`}
Settings are from: ${recipe.source}. ${Object.entries(madeWith)
    .map(([name, version]) => `${name} ${version.replace(/ \(.*\)$/, "")}`) // without where it was found
    .join(", ")}.

${table(
  ["part", "parameters"],
  Object.entries(parameters).map(([part, count]) => [part, String(count)]),
)}

## How it scored

${scoreText(facts.scores)}

## How to use it

With transformers ${TRANSFORMERS.oldest} to ${TRANSFORMERS.newest}:

\`\`\`python
${usage}\`\`\`

Several questions at once: lists of texts and of pictures, and \`padding=True\`. Before transformers 4.49 a picture that is
no square must be set in one first.

## What differs from the run

- Between tower and projector the run normalises features. Hugging Face's LLaVA has no place for that, so that the tower
  has one more layer here, which does it; the last layer only keeps \`vision_feature_layer\` at -2 and is never read. The
  layer's values are large: use float32 or bfloat16, not float16.
- The head of the tower, for training alone, is left out.
${
  hasHead
    ? "- The visual head, for training alone, lies beside it: `visual_head.safetensors` and `visual_head.json`. The tokenizers that made its codes are not here.\n"
    : ""
}`;
}

function stageRow([name, stage]: [string, Stage]): string[] {
  const { steps, batchSize, learningRate, trainable, template } = stage;
  return [name, String(steps), String(batchSize), String(learningRate), trainable.join(", "), template];
}

function scoreText(scores: ReadonlyMap<string, RecordScores>): string {
  if (scores.size === 0) return "It was asked no questions yet.";
  const rows = Array.from(scores, ([name, { questions, pictures, exactMatch, interval, mostFrequent }]) => [
    name,
    String(questions),
    String(pictures),
    exactMatch.toFixed(1),
    interval.map((end) => end.toFixed(1)).join(" to "),
    mostFrequent.exactMatch.toFixed(1),
  ]);
  const heads = [
    "questions from",
    "questions",
    "pictures",
    "exact match %",
    "95% interval",
    "always the commonest answer %",
  ];
  return `${table(heads, rows)}\n\nEvery question counts once; the interval is a bootstrap over pictures.`;
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}
