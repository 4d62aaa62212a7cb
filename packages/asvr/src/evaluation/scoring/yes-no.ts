/** Whether a response says yes or no, by each reference's rule. */
import { strip, stripEnd, words } from "./python-text.js";
import { withoutPunctuation } from "./vqa-answers.js";

/** undefined: neither, which is scored as wrong. */
export type YesNo = "yes" | "no" | undefined;

function yesOrNo(text: string | undefined): YesNo {
  return text === "yes" || text === "no" ? text : undefined;
}

/** Cambrian, MME: the whole response, but for final periods. */
export function wholeYesNo(response: string): YesNo {
  return yesOrNo(stripEnd(response.toLowerCase(), "."));
}

/** Cambrian, POPE: the first word. */
export function firstWordYesNo(response: string): YesNo {
  return yesOrNo(stripEnd((words(response)[0] ?? "").toLowerCase(), ".:,"));
}

/** lmms-eval, POPE: the whole response. */
export function strictYesNo(response: string): YesNo {
  return yesOrNo(strip(response.toLowerCase()));
}

/** lmms-eval, MME: a letter y or n, else yes and then no in the first four characters (`now` is no, `eyes` is yes). */
export function startYesNo(response: string): YesNo {
  const points = [...strip(response.toLowerCase()).replaceAll(".", "")];
  if (points.length === 1) return points[0] === "y" ? "yes" : points[0] === "n" ? "no" : undefined;
  const start = points.slice(0, 4).join("");
  if (start.includes("yes")) return "yes";
  return start.includes("no") ? "no" : undefined;
}

/** VLMEvalKit: one of the two words and not the other. */
export function wordYesNo(response: string): YesNo {
  const spoken = words(withoutPunctuation(response.toLowerCase()));
  const saysYes = spoken.includes("yes");
  const saysNo = spoken.includes("no");
  if (saysYes === saysNo) return undefined;
  return saysYes ? "yes" : "no";
}

/** lmms-eval, HallusionBench without a judge: "yes" anywhere, else no. */
export function anyYes(response: string): "yes" | "no" {
  return response.toLowerCase().includes("yes") ? "yes" : "no";
}

/** LLaVA, POPE: No, no or not in the first sentence is no, and everything else is yes. */
export function notNo(response: string): "yes" | "no" {
  const [sentence = ""] = response.split(".");
  const spoken = sentence.replaceAll(",", "").split(" ");
  return spoken.some((word) => word === "No" || word === "no" || word === "not") ? "no" : "yes";
}
