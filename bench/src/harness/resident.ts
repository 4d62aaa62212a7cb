import { readFileSync, writeFileSync } from "node:fs";

/** Bytes of this process, or another one, that are in memory now. Linux. */
export function residentBytes(pid?: number): number {
  return status("VmRSS", pid);
}

/** The most that it was since `resetPeak`. Linux. */
export function peakResidentBytes(): number {
  return status("VmHWM");
}

export function resetPeak(): void {
  writeFileSync("/proc/self/clear_refs", "5");
}

function status(field: string, pid?: number): number {
  const line = readFileSync(`/proc/${pid ?? "self"}/status`, "utf8")
    .split("\n")
    .find((line) => line.startsWith(`${field}:`))!;
  return Number(line.split(/\s+/)[1]) * 1024;
}
