/** OCRBench: an answer counts when the response contains it. */
import { strip } from "./python-text.js";

export interface OcrItem {
  prediction: string;
  answers: readonly string[];
  question_type: string;
  dataset: string;
}

const MATHEMATICS = "Handwritten Mathematical Expression Recognition";

/** Question type -> how many of the 1000 questions have it. */
export const OCR_TYPES: Readonly<Record<string, number>> = {
  "Regular Text Recognition": 50,
  "Irregular Text Recognition": 50,
  "Artistic Text Recognition": 50,
  "Handwriting Recognition": 50,
  "Digit String Recognition": 50,
  "Non-Semantic Text Recognition": 50,
  "Scene Text-centric VQA": 200,
  "Doc-oriented VQA": 200,
  "Key Information Extraction": 200,
  [MATHEMATICS]: 100,
};

/** Cambrian's, by containment or (`strict`) by equality. */
export function ocrMatch({ prediction, answers, question_type }: OcrItem, strict = false): boolean {
  return anyMatch(prediction, answers, question_type === MATHEMATICS, strict);
}

/** lmms-eval's: mathematics by data set, and full-width signs are folded. */
export function ocrMatchLmms({ prediction, answers, dataset }: OcrItem): boolean {
  return anyMatch(halfWidth(prediction), answers.map(halfWidth), dataset === "HME100k", false);
}

function anyMatch(prediction: string, answers: readonly string[], isMathematics: boolean, strict: boolean): boolean {
  const plain = (text: string) => {
    if (isMathematics) return strip(text).replaceAll("\n", " ").replaceAll(" ", "");
    return strip(text.toLowerCase()).replaceAll("\n", " ");
  };
  const said = plain(prediction);
  return answers.some((answer) => (strict ? said === plain(answer) : said.includes(plain(answer))));
}

/** Full-width ASCII and the ideographic space as their narrow forms. */
function halfWidth(text: string): string {
  return text
    .replace(/[\uff01-\uff5e]/g, (sign) => String.fromCharCode(sign.charCodeAt(0) - 0xfee0))
    .replaceAll("\u3000", " ");
}
