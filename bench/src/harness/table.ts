/** Rows as aligned text: the first column to the left, the others to the right. The first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    widths.map((width, column) => (column === 0 ? (row[0] ?? "").padEnd(width) : (row[column] ?? "").padStart(width)));
  const lines = rows.map((row) => line(row).join("   ").trimEnd());
  return [lines[0], widths.map((width) => "-".repeat(width)).join("   "), ...lines.slice(1)].join("\n");
}

/** A number as a person reads it. */
export function shown(value: number, digits = 3): string {
  const precise = Number(value.toPrecision(digits));
  return precise.toLocaleString("en", { maximumSignificantDigits: digits, useGrouping: false });
}

export function shownSpread([low, high]: readonly [number, number]): string {
  return `${shown(low)} to ${shown(high)}`;
}
