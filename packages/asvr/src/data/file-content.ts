import { open } from "node:fs/promises";
import { faultError } from "./faults.js";

/** What a file begins with that is no text. */
const packed: readonly [name: string, bytes: readonly number[], advice: string][] = [
  ["gzip", [0x1f, 0x8b], "Unpack it first (gunzip)."],
  ["zip", [0x50, 0x4b, 0x03, 0x04], "Unpack it first (unzip)."],
  ["bzip2", [0x42, 0x5a, 0x68], "Unpack it first (bunzip2)."],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a], "Unpack it first (unxz)."],
  ["Zstandard", [0x28, 0xb5, 0x2f, 0xfd], "Unpack it first (unzstd)."],
  ["Parquet", [0x50, 0x41, 0x52, 0x31], "Write its rows as JSON first."],
];

/**
 * Looks at a file's first bytes, before anybody reads them as JSON in UTF-8.
 * @throws DataError invalid-utf8 for UTF-16, not-an-array for what is packed, each with what it is
 */
export async function requirePlainText(file: string): Promise<void> {
  const start = await firstBytes(file);
  const refuse = (kind: "invalid-utf8" | "not-an-array", message: string) =>
    faultError({ file, index: -1, field: "", kind, message });
  if (isUtf16(start)) {
    const advice = "Write it as UTF-8 (in PowerShell: Set-Content -Encoding utf8).";
    throw refuse("invalid-utf8", `its text is UTF-16, as Windows PowerShell writes it. ${advice}`);
  }
  const found = packed.find(([, bytes]) => bytes.every((byte, at) => start[at] === byte));
  if (found) throw refuse("not-an-array", `its content is ${found[0]}, not JSON. ${found[2]}`);
}

/** By its byte order mark; or, without one, because every other byte of ASCII is zero there. */
function isUtf16(start: Uint8Array): boolean {
  const [first, second] = start;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true;
  return start.length >= 2 && (first === 0) !== (second === 0);
}

async function firstBytes(file: string): Promise<Uint8Array> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(8), 0, 8, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
