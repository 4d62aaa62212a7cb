import { readSync } from "node:fs";

/** `count` bytes of an open file from `position` on; fewer where the file ends. One read may give less than was asked. */
export function readBytes(descriptor: number, position: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  let read = 0;
  for (let more = -1; read < count && more !== 0; read += more) {
    more = readSync(descriptor, bytes, read, count - read, position + read);
  }
  return bytes.subarray(0, read);
}
