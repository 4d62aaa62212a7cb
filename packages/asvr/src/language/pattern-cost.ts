/** Longer than any that is published; what is longer is not looked through. */
const LONGEST = 10_000;

/**
 * Whether a tokenizer's pattern is of the simple build that published ones have: characters and classes, each repeated or
 * not, at most two of them without an end in an alternative; groups hold no repetition and are not repeated. Such a
 * pattern takes at most the square of a text's length. Others may take for ever (`(a+)+$`), whether they do or not.
 */
export function isSimplePattern(source: string): boolean {
  if (source.length > LONGEST) return false;
  const characters = source.replace(/\\[pP]\{[^}]*\}|\\./gsu, "e").replace(/\[\^?\]?[^\]]*\]/gu, "c");
  const flat = characters.replace(/\((?:\?[a-z]*:|\?<?[!=])?[^()*+{]*\)/gu, "g");
  if (/[()]|g[*+{]/u.test(flat)) return false;
  return flat.split("|").every((alternative) => (alternative.match(/[*+]|\{\d*,\}/gu)?.length ?? 0) <= 2);
}
