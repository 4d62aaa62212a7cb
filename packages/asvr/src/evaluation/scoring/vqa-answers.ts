/** Answers of VQA data sets made comparable: the processors of EvalAI (TextVQA) and of VLMEvalKit. */
import { strip, words } from "./python-text.js";

/** Words that get back an apostrophe; a key is such a word with one of its apostrophes missing. */
const contracted =
  `ain't aren't can't couldn't could've didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll
how's isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't shouldn't should've
somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's they'd
they'll they're they've 'twas wasn't weren't we've what'll what're what's what've when's where'd where's where've who'd
who'll who's who've why'll why're why's won't wouldn't would've y'all you'd you'll you're you've 'ow's'at couldn't've
hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've there'd've they'd've
we'd've who'd've wouldn't've y'all'd've y'all'll you'd've`.split(/\s/);

const contractions: ReadonlyMap<string, string> = new Map([
  ...contracted.flatMap((word) => withoutOneApostrophe(word).map((key): [string, string] => [key, word])),
  ["somebody'd", "somebodyd"], // so it is in the reference's table
]);

const numbers: Readonly<Record<string, string>> = {
  none: "0",
  zero: "0",
  one: "1",
  two: "2",
  three: "3",
  four: "4",
  five: "5",
  six: "6",
  seven: "7",
  eight: "8",
  nine: "9",
  ten: "10",
};
const articles: ReadonlySet<string> = new Set(["a", "an", "the"]);
const signs = [...';/[]"{}()=+\\_-><@`,?!'];
/** The references pass a flag where `re.sub` expects how many to replace. */
const DELETED_PERIODS = 32;

/** EvalAI's answer processor, as LLaVA, Cambrian and lmms-eval have it. */
export function evalAiAnswer(text: string): string {
  const plain = strip(text.toLowerCase().replaceAll(",", "").replaceAll("?", "").replaceAll("'s", " 's"));
  const line = strip(plain.replaceAll("\n", " ").replaceAll("\t", " "));
  return withPlainWords(deletePeriods(withoutSigns(line), /\.(?!\p{Nd})/gu));
}

/** VLMEvalKit's: commas, question marks and 's are not treated first, and a period next to a digit stays. */
export function vlmEvalKitAnswer(text: string): string {
  return withPlainWords(withoutPunctuation(strip(text.replaceAll("\n", " ").replaceAll("\t", " "))));
}

/** VLMEvalKit's punctuation step: signs, then the periods that have no digit on either side. */
export function withoutPunctuation(text: string): string {
  return deletePeriods(withoutSigns(text), /(?<!\p{Nd})\.(?!\p{Nd})/gu);
}

/**
 * TextVQA's soft accuracy, 0 to 1: for each human answer, how many of the others equal the prediction, three being
 * enough; the mean of these.
 * @param answers ten in TextVQA
 */
export function vqaAccuracy(
  prediction: string,
  answers: readonly string[],
  processed: (text: string) => string = evalAiAnswer,
): number {
  const said = processed(prediction);
  const isMatch = answers.map((answer) => processed(answer) === said);
  const matches = isMatch.filter(Boolean).length;
  const scores = isMatch.map((match) => Math.min(1, (matches - (match ? 1 : 0)) / 3));
  return scores.reduce((sum, score) => sum + score, 0) / answers.length;
}

/** Every sign is deleted if it has a space beside it somewhere (or digits have a comma between), else a space. */
function withoutSigns(text: string): string {
  const hasDigitComma = /\p{Nd},\p{Nd}/u.test(text);
  return signs.reduce((result, sign) => {
    const isLoose = hasDigitComma || text.includes(`${sign} `) || text.includes(` ${sign}`);
    return result.replaceAll(sign, isLoose ? "" : " ");
  }, text);
}

function deletePeriods(text: string, period: RegExp): string {
  let deleted = 0;
  return text.replace(period, () => (deleted++ < DELETED_PERIODS ? "" : "."));
}

/** Number words as digits, no articles, apostrophes where they belong, single spaces. */
function withPlainWords(text: string): string {
  return words(text.toLowerCase())
    .map((word) => (Object.hasOwn(numbers, word) ? numbers[word]! : word))
    .filter((word) => !articles.has(word))
    .map((word) => contractions.get(word) ?? word)
    .join(" ");
}

function withoutOneApostrophe(word: string): string[] {
  return [...word].flatMap((sign, at) => (sign === "'" ? [word.slice(0, at) + word.slice(at + 1)] : []));
}
