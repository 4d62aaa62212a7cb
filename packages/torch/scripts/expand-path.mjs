import { homedir } from "node:os";
import { join } from "node:path";

/**
 * A path of an environment variable as Python's `expanduser` and `expandvars` read it: `~`, `$NAME` and `${NAME}` stand
 * for what a shell would put there. A Dockerfile or an .env file hands them on as they are. What isn't set stays.
 */
export function expandPath(path) {
  const absolute = /^~(?=$|[/\\])/.test(path) ? join(homedir(), path.slice(1)) : path;
  return absolute.replace(/\$(?:(\w+)|\{([^}]*)\})/g, (whole, plain, braced) => process.env[plain ?? braced] ?? whole);
}

/** The path that an environment variable gives, expanded; undefined where it is not set or empty. */
export function pathFrom(name) {
  const path = process.env[name];
  return path ? expandPath(path) : undefined;
}

/** The user's folder for caches: XDG_CACHE_HOME, or `.cache` in the home folder. */
export function userCache() {
  return pathFrom("XDG_CACHE_HOME") ?? join(homedir(), ".cache");
}
