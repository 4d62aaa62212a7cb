// Loaded before anything else, by the command and by the processes that it starts.
import { readFileSync } from "node:fs";

// Node opens its debugger at SIGUSR1 where nobody listens. Batch systems send it before time is up: here it means SIGTERM.
process.on("SIGUSR1", () => process.kill(process.pid, "SIGTERM"));

// npm starts a shell, and the shell this. Neither tells when it is ended: that is seen, and means SIGTERM too.
if (["exec", "run-script"].includes(process.env.npm_command ?? "")) {
  const [shell, npm] = [process.ppid, parentOf(process.ppid)];
  const watch = setInterval(() => {
    if (process.ppid === shell && parentOf(shell) === npm) return;
    clearInterval(watch);
    process.kill(process.pid, "SIGTERM");
  }, 500);
  watch.unref();
}

/** Known on Linux alone. */
function parentOf(pid) {
  try {
    return /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  } catch {
    return undefined;
  }
}
