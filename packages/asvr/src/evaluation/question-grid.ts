/**
 * A test set as a grid of images and question types, and a system's score on it. Every mean, interval and test of a
 * table is computed on this grid, so they all are about the same statistic: the plain mean over question types.
 */
import type { Prediction } from "../runs/run-folder.js";

/** What the grid needs of a prediction. */
export type Answered = Pick<Prediction, "id" | "image" | "type" | "correct">;

/**
 * Right answers, image by image and type by type: values[image * types + type]. Averages over seeds and differences of
 * two systems are such arrays as well, since the score is linear in them.
 */
export type GridValues = Float64Array;

export class QuestionGrid {
  readonly images: readonly string[];
  readonly types: readonly string[];
  /** Questions in each cell. */
  private readonly asked: Float64Array;
  private readonly cells = new Map<string, number>();

  /** @param typeOrder types in the order wanted in tables; types of the questions that it lacks follow */
  constructor(questions: readonly Answered[], typeOrder: readonly string[] = []) {
    const seen = new Set(questions.map((question) => question.type));
    this.types = [...new Set([...typeOrder.filter((type) => seen.has(type)), ...seen])];
    this.images = [...new Set(questions.map((question) => question.image))];
    this.asked = new Float64Array(this.images.length * this.types.length);
    const imageIndex = new Map(this.images.map((image, index) => [image, index]));
    const typeIndex = new Map(this.types.map((type, index) => [type, index]));
    for (const { id, image, type } of questions) {
      const cell = imageIndex.get(image)! * this.types.length + typeIndex.get(type)!;
      this.asked[cell]! += 1;
      this.cells.set(id, cell);
    }
  }

  /** Why these answers are not exactly one for each question of the grid; undefined when they are. */
  mismatch(answers: readonly Answered[]): string | undefined {
    const ids = new Set(answers.map((answer) => answer.id));
    if (ids.size < answers.length) return `${answers.length - ids.size} question(s) answered twice`;
    const foreign = answers.filter((answer) => !this.cells.has(answer.id)).length;
    if (foreign > 0) return `${foreign} question(s) that other runs were not asked`;
    if (ids.size < this.cells.size) return `${ids.size} of ${this.cells.size} questions answered`;
    return undefined;
  }

  values(answers: readonly Answered[]): GridValues {
    const right = new Float64Array(this.asked.length);
    for (const { id, correct } of answers) if (correct) right[this.cells.get(id)!]! += 1;
    return right;
  }

  /**
   * Share of right answers for each type; NaN for a type of which no question was drawn.
   * @param drawn how often each image counts (once without it)
   */
  byType(values: GridValues, drawn?: Float64Array): number[] {
    const typeCount = this.types.length;
    const right = new Float64Array(typeCount);
    const asked = new Float64Array(typeCount);
    for (let image = 0; image < this.images.length; image++) {
      const weight = drawn ? drawn[image]! : 1;
      if (weight === 0) continue;
      for (let type = 0; type < typeCount; type++) {
        right[type]! += weight * values[image * typeCount + type]!;
        asked[type]! += weight * this.asked[image * typeCount + type]!;
      }
    }
    return Array.from(right, (sum, type) => sum / asked[type]!);
  }

  /** Plain mean over the types of `byType`. */
  score(values: GridValues, drawn?: Float64Array): number {
    const shares = this.byType(values, drawn).filter((share) => !Number.isNaN(share));
    return shares.reduce((sum, share) => sum + share, 0) / shares.length;
  }

  /** Each image's part of `score(values)`: they sum to it, so flipping an image's sign flips its part of the score. */
  contributions(values: GridValues): number[] {
    const typeCount = this.types.length;
    const totals = new Float64Array(typeCount);
    for (let cell = 0; cell < this.asked.length; cell++) totals[cell % typeCount]! += this.asked[cell]!;
    return this.images.map((_, image) => {
      let part = 0;
      for (let type = 0; type < typeCount; type++)
        part += values[image * typeCount + type]! / totals[type]! / typeCount;
      return part;
    });
  }
}

/** Cell by cell mean of several systems' values (the seeds of a row). */
export function averageValues(values: readonly GridValues[]): GridValues {
  return values[0]!.map((_, cell) => values.reduce((sum, one) => sum + one[cell]!, 0) / values.length);
}

export function differenceOf(first: GridValues, second: GridValues): GridValues {
  return first.map((value, cell) => value - second[cell]!);
}
