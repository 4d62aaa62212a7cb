/** Option lists as the data sets write them. */
import { strip } from "./python-text.js";

/** Whether a hint or an option is there: absent ones are null, empty or the text `nan`. */
export function isGiven(text: string | null | undefined): text is string {
  return text !== null && text !== undefined && text !== "" && text !== "nan";
}

/** The letter of an option: A for 0. */
export function letterOf(index: number): string {
  return String.fromCharCode(65 + index);
}

/** MMVP's `(a) Open (b) Closed`: what stands behind each mark. */
export function mmvpOptions(text: string): string[] {
  return text
    .split(/\([a-z]\)/i)
    .slice(1)
    .map(strip);
}

const escapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  v: "\v",
  a: "\x07",
  "0": "\0",
  "\n": "",
};
const element = /\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"[\]][^,\]]*))\s*(,|\]\s*$)/sy;

/**
 * A Python list literal of strings, such as MMMU's options: single or double quotes, escapes; a bare element (a number) is
 * taken as its text.
 * @returns undefined for something else
 */
export function parsePythonList(text: string): string[] | undefined {
  if (/^\s*\[\s*\]\s*$/.test(text)) return [];
  const open = /^\s*\[/.exec(text);
  if (!open) return undefined;
  const elements: string[] = [];
  element.lastIndex = open[0].length;
  for (;;) {
    const found = element.exec(text);
    if (!found) return undefined;
    const [, single, double, bare, end] = found;
    elements.push(bare === undefined ? unescaped(single ?? double!) : strip(bare));
    if (end !== ",") return elements;
    if (/^\s*\]\s*$/.test(text.slice(element.lastIndex))) return elements; // a comma behind the last one
  }
}

function unescaped(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/gis,
    (whole, two?: string, four?: string, eight?: string, sign?: string) => {
      const code = two ?? four ?? eight;
      if (code !== undefined) return String.fromCodePoint(Number.parseInt(code, 16));
      if (sign === undefined) return whole;
      return escapes[sign] ?? ("\\'\"".includes(sign) ? sign : whole);
    },
  );
}
