import { Command } from "commander";

export function recipesCommand(): Command {
  return new Command("recipes")
    .description("list every row of the paper's tables, and ours, as recipes")
    .option("--json", "print [{name, title, table, scales, source, from, difference, against, data, …}]", false)
    .addHelpText("after", "\nExample:\n  asvr recipes --json")
    .action(async (options: { json: boolean }) => (await import("./recipes.js")).listRecipes(options));
}
