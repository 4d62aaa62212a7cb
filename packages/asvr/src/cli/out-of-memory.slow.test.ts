import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { bin } from "./fixture.js";

test("a lack of memory while a picture is decoded is no fault of the picture: --max-bad leaves nothing out for it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "asvr-memory-"));
  try {
    const large = { width: 7000, height: 7000, channels: 3 as const, background: "red" };
    await sharp({ create: large }).png({ compressionLevel: 1 }).toFile(join(folder, "large.png"));
    const conversations = [
      { from: "human", value: "<image>\nWhat?" },
      { from: "gpt", value: "Red." },
    ];
    writeFileSync(join(folder, "r.json"), JSON.stringify([{ id: "1", image: "large.png", conversations }]));
    const check = (limit: string) => {
      const command = `${limit} exec "$0" "$@"`;
      const args = [process.execPath, bin, "data", "check", "r.json", "--images", ".", "--max-bad", "1"];
      return spawnSync("bash", ["-c", command, ...args], { cwd: folder, encoding: "utf8" });
    };
    expect(check("").status).toBe(0);
    // Address space in KiB: the smallest in which the program runs at all fails at once at 147 MB more.
    for (let limit = 800_000; limit < 6_000_000; limit += 100_000) {
      const { status, stderr } = check(`ulimit -v ${limit};`);
      if (status === 0) throw new Error(`with ${limit} KiB it has enough memory, with less it does not start`);
      if (!stderr.includes("large.png")) continue; // too little for Node or libtorch itself
      expect(stderr).toMatch(/large\.png: there is not enough memory to decode it: .*out of memory/);
      expect(stderr).not.toContain("corrupt-image");
      return;
    }
    throw new Error("it decodes with no limit at all");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
