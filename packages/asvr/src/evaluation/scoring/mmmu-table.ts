/** MMMU by subject and discipline, as its official table. */
import { roundPython } from "./python-text.js";

export const MMMU_DISCIPLINES: Readonly<Record<string, readonly string[]>> = {
  "Art and Design": ["Art", "Art_Theory", "Design", "Music"],
  Business: ["Accounting", "Economics", "Finance", "Manage", "Marketing"],
  Science: ["Biology", "Chemistry", "Geography", "Math", "Physics"],
  "Health and Medicine": [
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
  ],
  "Humanities and Social Science": ["History", "Literature", "Sociology", "Psychology"],
  "Tech and Engineering": [
    "Agriculture",
    "Architecture_and_Engineering",
    "Computer_Science",
    "Electronics",
    "Energy_and_Power",
    "Materials",
    "Mechanical_Engineering",
  ],
};

/** `validation_Art_Theory_12` -> `Art_Theory`; undefined for another form. */
export function mmmuSubject(id: string): string | undefined {
  return /^[^_]*_(.+?)_\d+$/.exec(id)?.[1];
}

/** Share of right answers, 0 to 1, and of how many. */
export interface MmmuRow {
  num: number;
  acc: number;
}

/** "Overall", "Overall-DISCIPLINE" and every subject there is; shares rounded to five decimals. */
export function mmmuTable(items: readonly { subject: string; right: boolean }[]): Record<string, MmmuRow> {
  const row = (subjects: ReadonlySet<string> | undefined): MmmuRow => {
    const chosen = subjects ? items.filter(({ subject }) => subjects.has(subject)) : items;
    const right = chosen.filter((item) => item.right).length;
    return { num: chosen.length, acc: chosen.length === 0 ? 0 : roundPython(right / chosen.length, 5) };
  };
  const present = new Set(items.map(({ subject }) => subject));
  const table: Record<string, MmmuRow> = { Overall: row(undefined) };
  for (const [discipline, subjects] of Object.entries(MMMU_DISCIPLINES)) {
    table[`Overall-${discipline}`] = row(new Set(subjects));
    for (const subject of subjects) if (present.has(subject)) table[subject] = row(new Set([subject]));
  }
  return table;
}
