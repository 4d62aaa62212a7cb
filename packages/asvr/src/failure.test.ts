import { expect, test } from "vitest";
import { DataError } from "./errors.js";
import { firstFailure } from "./failure.js";

async function failingScope(first: Error, disposal: Error): Promise<unknown> {
  const scope = async () => {
    await using _ = { [Symbol.asyncDispose]: () => Promise.reject(disposal) };
    throw first;
  };
  return scope().catch((error: unknown) => error);
}

test("of a scope that fails and then can't be left, the first failure is told, with the other after it", async () => {
  const wrapped = await failingScope(new DataError("the record is bad"), new Error("the disk is full"));
  expect((wrapped as Error).name).toBe("SuppressedError");
  const told = firstFailure(wrapped);
  expect(told).toBeInstanceOf(DataError);
  expect(told).toMatchObject({
    name: "DataError",
    message: "the record is bad (Then also: the disk is full)",
    faults: [],
  });
});

test("a failure that comes twice is told once, through any number of scopes", async () => {
  const gone = new Error("runs/mine is gone");
  const outer = await failingScope((await failingScope(gone, new Error("runs/mine is gone"))) as Error, gone);
  expect(firstFailure(outer)).toBe(gone);
});

test("of several failures side by side each different one is told", () => {
  const refused = (host: string) => new Error(`${host} refused`);
  const all = new AggregateError([refused("::1"), refused("127.0.0.1"), refused("::1")]);
  expect(firstFailure(all).message).toBe("::1 refused; 127.0.0.1 refused");
});

test("other errors are as they are, and what is no error becomes one", () => {
  const error = new RangeError("3");
  expect(firstFailure(error)).toBe(error);
  expect(firstFailure("gone").message).toBe("gone");
});
