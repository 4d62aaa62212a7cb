// `npm run bench -- NAME`: measures one thing on both sides and says by how much they differ.
import { run } from "./cli.js";

process.once("SIGINT", () => process.exit(130)); // so that temporary folders are removed
process.exitCode = await run(process.argv);
