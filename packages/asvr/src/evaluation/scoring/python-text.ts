/**
 * Strings and numbers as Python sees them: the reference scorers are Python, and an answer counts as right or wrong by
 * exactly these rules (white space, code points, `float`, `round`).
 */

/**
 * Python's white space as the inside of a character class, for regular expressions with the flag `u`. Unlike
 * JavaScript's it has U+001C to U+001F and U+0085, and lacks U+FEFF.
 */
export const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** What Python's `\w` matches, as the inside of a character class. */
export const WORD = "\\p{L}\\p{N}_";
/** Python's `string.punctuation`: all ASCII signs. */
export const ASCII_PUNCTUATION = /[!-/:-@[-`{-~]/g;

const leadingSpace = new RegExp(`^[${SPACE}]+`, "u");
const trailingSpace = new RegExp(`[${SPACE}]+$`, "u");
const spaces = new RegExp(`[${SPACE}]+`, "u");

/** `text.strip()` */
export function strip(text: string): string {
  return text.replace(leadingSpace, "").replace(trailingSpace, "");
}

/** `text.lstrip(signs)`; the signs are single UTF-16 units. */
export function stripStart(text: string, signs: string): string {
  let start = 0;
  while (start < text.length && signs.includes(text[start]!)) start++;
  return text.slice(start);
}

/** `text.rstrip(signs)`; the signs are single UTF-16 units. */
export function stripEnd(text: string, signs: string): string {
  let end = text.length;
  while (end > 0 && signs.includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}

/** `text.strip(signs)`; the signs are single UTF-16 units. */
export function stripSigns(text: string, signs: string): string {
  return stripStart(stripEnd(text, signs), signs);
}

/** `text.split()`: the words; none in an empty or blank text. */
export function words(text: string): string[] {
  return text.split(spaces).filter((word) => word !== "");
}

/** `len(text)`: code points, not UTF-16 units. */
export function length(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** What follows the last occurrence of a phrase: the whole text where there is none. `text.split(phrase)[-1]` */
export function afterLast(text: string, phrase: string): string {
  const at = text.lastIndexOf(phrase);
  return at < 0 ? text : text.slice(at + phrase.length);
}

/** `a < b` as Python compares strings: by code point. For `Array.sort`. */
export function compareText(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const difference = left[at]!.codePointAt(0)! - right[at]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

const digits = "\\d(?:_?\\d)*";
const decimal = new RegExp(`^[+-]?(?:${digits}(?:\\.(?:${digits})?)?|\\.${digits})(?:e[+-]?${digits})?$`, "i");
/** `float` allows less around a number than `strip` takes off: no U+001C to U+001F. */
const besideNumber = "[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*";
const number = new RegExp(`^${besideNumber}(.*?)${besideNumber}$`, "su");
const special = /^([+-]?)(?:(inf|infinity)|nan)$/i;
const anyDigit = /\p{Nd}/u;

/**
 * `float(text)`: white space around it, `5.`, `.5`, `1_000`, any script's decimal digits and `inf` are allowed; commas,
 * `%`, hexadecimal and the empty text are not. Overflow gives infinity.
 * @returns undefined where Python raises ValueError
 */
export function parseFloatPython(text: string): number | undefined {
  const plain = asciiDigits(number.exec(text)![1]!);
  const named = special.exec(plain);
  if (named) {
    const [, sign, infinite] = named;
    if (infinite === undefined) return Number.NaN;
    return sign === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  return decimal.test(plain) ? Number(plain.replaceAll("_", "")) : undefined;
}

/** Decimal digits of every script -> ASCII digits. Unicode has each script's ten in a row, zero first. */
function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, (digit) => {
    const point = digit.codePointAt(0)!;
    let before = 0;
    while (anyDigit.test(String.fromCodePoint(point - before - 1))) before++;
    return String(before % 10);
  });
}

/** `round(value, places)`: from the exact binary value, ties to the even digit. */
export function roundPython(value: number, places: number): number {
  if (!Number.isFinite(value) || Math.abs(value) >= 1e21) return value;
  const rounded = Number(value.toFixed(places)); // exact too, but ties go up
  const isTie = Math.abs((value * 2 ** (places + 1)) % 2) === 1; // an odd multiple of half a last digit
  if (!isTie) return rounded;
  const scale = 10 ** places;
  const below = Math.floor(value * scale);
  return (below % 2 === 0 ? below : below + 1) / scale;
}
