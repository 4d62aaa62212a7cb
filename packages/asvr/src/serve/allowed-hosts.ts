import { isIP } from "node:net";
import type { FastifyRequest } from "fastify";
import { ApiError } from "./api-error.js";

/** A name may be looked up to anything, but for the one that means this machine everywhere. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/**
 * A web page may have its own name looked up to this machine, and then asks as if the server were its own. What it can't
 * change is the name that the browser says: `Host`, and `Origin` where a page asks.
 * @param allowed names beside those of this machine
 * @throws ApiError
 */
export function requireAllowedHost({ headers }: FastifyRequest, allowed: readonly string[]): void {
  requireName("Host", headers.host ?? "", allowed);
  if (headers.origin !== undefined) requireName("Origin", headers.origin.replace(/^[a-z]+:\/\//i, ""), allowed);
}

function requireName(header: string, value: string, allowed: readonly string[]): void {
  const name = nameOf(value);
  if (name !== undefined && (isLoopback(name) || allowed.some((other) => nameOf(other) === name))) return;
  throw new ApiError(
    403,
    `${header} is ${JSON.stringify(value)}, and this server answers to localhost and to the names of --allow-host`,
    { code: "host_not_allowed" },
  );
}

/** The name in what a header says: `localhost:8000`, `[::1]:8000`. */
export function nameOf(host: string): string | undefined {
  const [, address, name] = /^(?:\[([0-9a-f:.]+)\]|([^\s:/?#@[\]]+?)\.?)(?::\d*)?$/i.exec(host) ?? [];
  return (address ?? name)?.toLowerCase();
}
