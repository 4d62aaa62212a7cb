import { expect, test } from "vitest";
import { printable } from "./printable.js";

test("control characters become visible; lines, tabs and every other letter stay", () => {
  expect(printable("\u001b]0;title\u0007\u001b[2Jgone\u009b31m\u007f")).toBe(
    "\\x1b]0;title\\x07\\x1b[2Jgone\\x9b31m\\x7f",
  );
  expect(printable("a\r\n\tb é 日本 🙂")).toBe("a\n\tb é 日本 🙂");
  expect(printable("true\rfalse")).toBe("truefalse");
});
