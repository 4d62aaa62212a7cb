import { POSITIONS } from "./world.js";

/** What a full caption says: the scene, as far as it is told. */
export interface ToldScene {
  readonly objects: readonly { readonly concept: string; readonly color: string; readonly cell: number }[];
  readonly digit: { readonly value: number; readonly cell: number } | undefined;
  readonly background: string | undefined;
}

/** Reads a full caption back. @throws Error for a phrase that no full caption has */
export function readCaption(caption: string): ToldScene {
  const objects: { concept: string; color: string; cell: number }[] = [];
  let digit: ToldScene["digit"];
  let background: string | undefined;
  const cellOf = (position: string | undefined) => (POSITIONS as readonly string[]).indexOf(position ?? "");
  for (const phrase of caption.split(" , ")) {
    const words = phrase.split(" ");
    if (words[0] === "background") background = words[1];
    else if (words[0] === "digit") digit = { value: Number(words[1]), cell: cellOf(words[3]) };
    else if (words[1] === "on") objects.push({ concept: words[0]!, color: words[2]!, cell: cellOf(words[4]) });
    else throw new Error(`${JSON.stringify(phrase)} is not a phrase of a full caption`);
  }
  return { objects, digit, background };
}
