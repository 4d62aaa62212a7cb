import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { printable } from "./printable.js";

test("control characters become visible; lines, tabs and every other letter stay", () => {
  expect(printable("\u001b]0;title\u0007\u001b[2Jgone\u009b31m\u007f")).toBe(
    "\\x1b]0;title\\x07\\x1b[2Jgone\\x9b31m\\x7f",
  );
  expect(printable("a\r\n\tb é 日本 🙂")).toBe("a\n\tb é 日本 🙂");
  expect(printable("true\rfalse")).toBe("truefalse");
});

test("a command writes through print and tell alone: what files and models say never reaches a terminal as it is", () => {
  const folder = import.meta.dirname;
  const sources = readdirSync(folder).filter(
    (name) => /(?<!\.test|\.fixture)\.ts$/.test(name) && name !== "fixture.ts",
  );
  const writing = sources.filter((name) => {
    return /process\.std(out|err)\.write|console\./.test(readFileSync(join(folder, name), "utf8"));
  });
  expect(writing.sort()).toEqual(["options.ts", "printable.ts"]); // options.ts: printJson escapes in JSON's way
});
