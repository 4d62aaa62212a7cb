import { expect, test } from "vitest";
import { endpointUrl } from "./options.js";

test("an endpoint without http:// or https:// is refused at once, with the address that may be meant", () => {
  expect(endpointUrl("--endpoint", "http://localhost:8130/v1")).toBe("http://localhost:8130/v1");
  expect(endpointUrl("--judge", "HTTPS://host/v1")).toBe("HTTPS://host/v1");
  expect(() => endpointUrl("--endpoint", "localhost:8130/v1")).toThrow(
    '--endpoint "localhost:8130/v1" is no URL that begins with http:// or https://: is http://localhost:8130/v1 meant?',
  );
  for (const wrong of ["ftp://host/v1", "http://", "nowhere at all"]) {
    expect(() => endpointUrl("--endpoint", wrong)).toThrow(/is no URL that begins with http:\/\/ or https:\/\/$/);
  }
});
