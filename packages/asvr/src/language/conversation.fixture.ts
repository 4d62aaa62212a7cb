import { IMAGE_TAG, type Span } from "./conversation.js";

/** The prompt as one text. */
export function promptOf(spans: readonly Span[]): string {
  return spans.map((span) => (span.kind === "image" ? IMAGE_TAG : span.text)).join("");
}

/** [start, end) of the supervised text, in code points. */
export function supervisedSpans(spans: readonly Span[]): [number, number][] {
  const found: [number, number][] = [];
  let start = 0;
  for (const span of spans) {
    const end = start + [...promptOf([span])].length;
    if (span.kind === "text" && span.supervised) found.push([start, end]);
    start = end;
  }
  return found;
}
