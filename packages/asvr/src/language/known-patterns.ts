/** GPT-2's pattern, as byte-level tokenizers use it unless they bring their own. */
export const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The pattern of GPT-4's tokenizer, with as many digits together as are given: Llama 3 has up to three, Qwen2 one. */
export function gpt4Pattern(digits: string): string {
  return `${ENDINGS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;
}

/** The pattern of GPT-4o's tokenizer, which splits where capitals begin. Mistral's has no endings, and digits apart. */
function casedPattern(endings: string, digits: string): string {
  const [start, capitals, small] = ["[^\\r\\n\\p{L}\\p{N}]?", "\\p{Lu}\\p{Lt}", "\\p{Ll}"];
  const both = "\\p{Lm}\\p{Lo}\\p{M}";
  const words = [`[${capitals}${both}]*[${small}${both}]+`, `[${capitals}${both}]+[${small}${both}]*`];
  const whole = words.map((word) => start + word + endings).join("|");
  return `${whole}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;
}

/** The micro world's: a word with its space (and a role's colon), or one other sign with its space, or one blank. */
export const WORDS_PATTERN = " ?[\\p{L}\\p{N}-]+:?| ?[^\\s\\p{L}\\p{N}]|\\s";

/**
 * The patterns of published tokenizers, and ours: each is known to take about as long as a text is. What another
 * pattern takes can't be told by looking at it (`a*a*b`, `(a+)+$`).
 */
export const knownPatterns: ReadonlySet<string> = new Set([
  ...[GPT2_PATTERN, WORDS_PATTERN, gpt4Pattern("\\p{N}{1,3}"), gpt4Pattern("\\p{N}")],
  ...[casedPattern(`${ENDINGS}?`, "\\p{N}{1,3}"), casedPattern("", "\\p{N}")],
  ...["\\p{N}", "\\p{N}+", "\\p{N}{1,3}", "\\s+", "\\s", " {2,}", "[\\r\\n]+", "\\n"],
]);

/** The most repetitions of a pattern that is compiled: published patterns have 16 at most. */
const MOST_REPETITIONS = 24;

/**
 * Whether a pattern can be compiled in a moment: optional parts one after another, and repeated groups of them, take
 * JavaScript's compiler for ever, which no clock stops.
 */
export function isCompilable(pattern: string): boolean {
  if (knownPatterns.has(pattern)) return true;
  const signs = pattern.replace(/\\[pP]\{[^}]*\}|\\./gsu, "e").replace(/\[\^?\]?[^\]]*\]/gu, "c");
  const repetitions = signs.replaceAll("(?", "(").match(/[*+?]|\{\d/gu)?.length ?? 0;
  return repetitions <= MOST_REPETITIONS && !signs.includes("){");
}
