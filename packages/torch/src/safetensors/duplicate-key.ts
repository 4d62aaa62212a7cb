/**
 * The first key that one object of a JSON text has twice, or undefined. `JSON.parse` takes the last silently, other
 * readers the first: such a file would show different tensors to different programs.
 * @param text valid JSON
 */
export function duplicateKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = []; // the keys seen in each object around the place; undefined for an array
  let last = { start: 0, end: 0 }; // the text that was met last
  for (const { 0: token, index } of text.matchAll(mark)) {
    if (index < last.end) continue; // inside of a text
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (token === '"') last = { start: index, end: endOfText(text, index) };
    else {
      const key = JSON.parse(text.slice(last.start, last.end)) as string; // "a" and "\u0061" are one key
      const keys = open[open.length - 1]!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

const mark = /["{}[\]:]/g;

/** The place behind the quote that closes a text. A pattern for the whole text would overflow the stack on a long one. */
function endOfText(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === "\\") backslashes++;
    if (backslashes % 2 === 0) return at + 1;
  }
  return text.length;
}
