import { readFileSync, writeFileSync } from "node:fs";

/** Bytes of this process that are in memory now. Linux. */
export function residentBytes(): number {
  return status("VmRSS");
}

/** The most that it was since `resetPeak`. Linux. */
export function peakResidentBytes(): number {
  return status("VmHWM");
}

export function resetPeak(): void {
  writeFileSync("/proc/self/clear_refs", "5");
}

function status(field: string): number {
  const line = readFileSync("/proc/self/status", "utf8")
    .split("\n")
    .find((line) => line.startsWith(`${field}:`))!;
  return Number(line.split(/\s+/)[1]) * 1024;
}
