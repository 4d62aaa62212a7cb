import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import type { Answerer, AnswerRequest } from "./answerer.js";
import { writeBenchmarkFixtures } from "./fixture.js";

/** A folder for a test file, with the fixtures of all benchmarks in `data`. */
export function benchmarkFolder(): { path: (...parts: string[]) => string } {
  const folder = mkdtempSync(join(tmpdir(), "benchmarks-"));
  beforeAll(() => writeBenchmarkFixtures(join(folder, "data")));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return { path: (...parts) => join(folder, ...parts) };
}

/** An answerer that keeps what it was asked. */
export function recorder(answer: (request: AnswerRequest) => string, name = "recorder") {
  const calls: AnswerRequest[][] = [];
  const answerer: Answerer = {
    name,
    async *answer(requests) {
      calls.push([...requests]);
      for (const request of requests) yield { id: request.id, text: answer(request) };
    },
  };
  return { answerer, calls, asked: () => calls.flat() };
}
