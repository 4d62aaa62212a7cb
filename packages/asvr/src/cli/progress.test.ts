import { expect, test } from "vitest";
import { describeWhole } from "./progress.js";

test("the whole is told by its parts, and by about how long the rest takes", () => {
  const progress = { done: 3, running: 1, total: 10 };
  expect(describeWhole(progress)).toBe("part 4 of 10");
  expect(describeWhole({ ...progress, secondsLeft: 187 })).toBe("part 4 of 10, about 3 min left");
  expect(describeWhole({ ...progress, running: 2, secondsLeft: 31 })).toBe("parts 4 and 5 of 10, about 40 s left");
  expect(describeWhole({ ...progress, running: 4, secondsLeft: 51 })).toBe("parts 4 to 7 of 10, about 1 min left");
  expect(describeWhole({ ...progress, secondsLeft: 3 * 3600 + 125 })).toBe("part 4 of 10, about 3 h 2 min left");
});
