import { isIP } from "node:net";
import type { Dispatcher } from "undici";
import { ConfigError } from "./errors.js";

/**
 * `fetch` for everything that leaves this machine. A proxy that HTTPS_PROXY or HTTP_PROXY names (in lower case, too) is
 * asked, but for the hosts of NO_PROXY and for this machine itself.
 * @throws ConfigError for a proxy of another kind than http and https
 */
export const outgoingFetch = (async (input: string | URL, init?: RequestInit) => {
  const { fetch } = await import("undici");
  const url = String(input);
  const dispatcher = await dispatcherFor(proxyFor(url));
  return fetch(url, { ...(init as object), dispatcher });
}) as unknown as typeof fetch;

const dispatchers = new Map<string | undefined, Dispatcher>();

async function dispatcherFor(proxy: string | undefined): Promise<Dispatcher> {
  const known = dispatchers.get(proxy);
  if (known) return known;
  const { Agent, ProxyAgent } = await import("undici");
  const made = proxy === undefined ? new Agent() : new ProxyAgent(proxy);
  dispatchers.set(proxy, made);
  return made;
}

/** The address of the proxy for a URL; undefined where it is asked directly. @throws ConfigError */
export function proxyFor(url: string): string | undefined {
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  if (isThisMachine(host) || isExcepted(host, port || (protocol === "https:" ? "443" : "80"))) return undefined;
  const [name, address] = firstSet(protocol === "https:" ? ["HTTPS_PROXY", "ALL_PROXY"] : ["HTTP_PROXY", "ALL_PROXY"]);
  if (address === undefined) return undefined;
  const proxy = /^[a-z][a-z\d+.-]*:\/\//i.test(address) ? address : `http://${address}`;
  if (/^https?:/i.test(proxy) && URL.canParse(proxy)) return new URL(proxy).href;
  throw new ConfigError(`${name} is ${JSON.stringify(address)}: a proxy must be http://HOST:PORT or https://HOST:PORT`);
}

/** A proxy's address without the password that it may hold. */
export function withoutPassword(proxy: string): string {
  return new URL(proxy).origin;
}

function firstSet(names: readonly string[]): [name: string, value: string | undefined] {
  for (const name of names) {
    const value = variable(name);
    if (value) return [name, value];
  }
  return ["", undefined];
}

/** The lower case goes first, as curl and Python have it. */
function variable(name: string): string {
  return process.env[name.toLowerCase()] || process.env[name] || "";
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Whether NO_PROXY names a host: as `*`, itself or a domain that it lies in, with a port or for all. */
function isExcepted(host: string, port: string): boolean {
  const entries = variable("NO_PROXY")
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean);
  return entries.some((entry) => {
    const [, name = "", only] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
    if (entry === "*") return true;
    if (only !== undefined && only !== port) return false;
    return name !== "" && (host === name || host.endsWith(`.${name}`));
  });
}
