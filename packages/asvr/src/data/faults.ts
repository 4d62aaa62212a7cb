import { DataError } from "../errors.js";
import type { Fault, FaultKind } from "../fault.js";

const SHOWN = 10;
/** As many equal faults are told one by one. */
const FOLDED_FROM = 4;
const QUOTED = 80;

/** A text from data as a message quotes it: in quotes, its end left out where it is long. */
export function quoted(text: string): string {
  if (text.length <= QUOTED) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, QUOTED))}… (${text.length.toLocaleString("en")} letters)`;
}

/** The error of one fault. */
export function faultError(fault: Fault): DataError {
  return new DataError(describe(fault), [fault]);
}

/** How many records are faulty, however many faults each has. */
export function countBad(faults: readonly Fault[]): number {
  return new Set(faults.map(({ index }) => index)).size;
}

/**
 * Lets at most `maxBad` faulty records pass. A fault of the file as a whole never passes: nobody knows what is missing.
 * @param checked how many things were looked at
 * @param what what was looked at, in the plural: "records of train.json"
 * @throws DataError that lists the first faults
 */
export function requireWithinBudget(faults: readonly Fault[], checked: number, maxBad: number, what: string): void {
  const bad = countBad(faults);
  const ofFile = faults.find(({ index }) => index < 0);
  if (ofFile) throw faultError(ofFile);
  if (bad <= maxBad) return;
  const folded = foldFaults(faults);
  const lines = folded.slice(0, SHOWN).map(({ line }) => `  ${line}`);
  const left = folded.slice(SHOWN).reduce((sum, { count }) => sum + count, 0);
  if (left > 0) lines.push(`  and ${left} more: ${countKinds(faults)}`);
  const advice = `Repair or remove them, or allow that many to be left out: maxBad ${bad} (--max-bad ${bad}).`;
  throw new DataError(
    `${bad} of ${checked} ${what} are bad, and ${maxBad} may be:\n${lines.join("\n")}\n${advice}`,
    faults,
  );
}

/** `file[index].field: kind: message` */
function describe({ file, index, field, kind, message }: Fault): string {
  const place = `${file}${index >= 0 ? `[${index}]` : ""}${field ? `.${field}` : ""}`;
  return `${place}: ${kind}: ${message}`;
}

/** The faults in words, in their order; many of which only the record's number differs are one line. */
export function foldFaults(faults: readonly Fault[]): { line: string; count: number }[] {
  const groups = new Map<string, Fault[]>();
  for (const fault of faults) {
    const key = JSON.stringify([fault.file, fault.field, fault.kind, fault.message]);
    const group = groups.get(key);
    if (group) group.push(fault);
    else groups.set(key, [fault]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (group.length < FOLDED_FROM) return group.map((fault) => ({ line: describe(fault), count: 1 }));
    return [{ line: `${describe(first!)} (and ${group.length - 1} more like it)`, count: group.length }];
  });
}

/** "12 empty-answer, 3 missing-image", the commonest first. */
export function countKinds(faults: readonly Fault[]): string {
  const counts = new Map<FaultKind, number>();
  for (const { kind } of faults) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const ordered = [...counts].sort(([, a], [, b]) => b - a);
  return ordered.map(([kind, count]) => `${count} ${kind}`).join(", ");
}
