import { letterLines } from "./prompts.js";

/** What a multiple-choice answer comes to a judge for, where the rules find no letter in it. */
interface Chosen {
  readonly question: string;
  /** Letter -> text. */
  readonly options: Readonly<Record<string, string>>;
}

export function askForLetter(answer: string, { question, options }: Chosen): string {
  return [
    "Which option does this answer to a multiple-choice question mean?",
    `Question: ${question}`,
    `Options:\n${letterLines(options)}`,
    `Answer: ${answer}`,
    "Reply with the letter of the option alone, or with NONE when the answer means no option or several.",
  ].join("\n\n");
}

/** NONE is a verdict, which no option equals. */
export function letterVerdict(reply: string, { options }: Pick<Chosen, "options">): string | undefined {
  const [, said] = /^\W*(NONE|[A-Z])\b/.exec(reply.trim()) ?? [];
  return said === "NONE" || (said !== undefined && said in options) ? said : undefined;
}
