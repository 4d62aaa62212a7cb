import type { Picture } from "./data/table.js";

/** A question as a model is asked it. */
export interface AnswerRequest {
  id: string;
  /** The user turn: `<image>` and a newline for each picture, then the text. */
  prompt: string;
  pictures: readonly Picture[];
  maxNewTokens: number;
}

export interface Answer {
  id: string;
  /** Empty where it was refused. */
  text: string;
  /** Why this question can't be answered while others can: its prompt is longer than the model's context, say. */
  refused?: string;
}

/** Something that answers greedily: a model in this process, or one behind an endpoint. */
export interface Answerer {
  /** Written beside the answers: a run goes on with the model that began it. */
  readonly name: string;
  /**
   * Answers in any order, each as soon as it is there. Requests about one picture stand next to each other, and all of a
   * picture's come in the same call: its features need to be computed once.
   * @throws what makes going on useless; answers given before are kept. A question that is refused is an answer
   */
  answer(requests: readonly AnswerRequest[], signal?: AbortSignal): AsyncIterable<Answer>;
}
