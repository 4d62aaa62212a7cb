import { type ListedRecipe, listRecipes as list } from "../recipes/listing.js";
import { tableNamed } from "../recipes/tables.js";
import { printJson } from "./options.js";
import { print } from "./printable.js";

/** Prints every recipe. */
export function listRecipes({ json }: { json: boolean }): void {
  const recipes = list();
  if (json) {
    printJson(recipes);
    return;
  }
  const lines = recipes.flatMap((recipe, index) => {
    const isFirst = recipe.table !== recipes[index - 1]?.table;
    const head = isFirst ? [`${index > 0 ? "\n" : ""}${recipe.table}: ${tableNamed(recipe.table).title}`] : [];
    return [...head, ...described(recipe)];
  });
  print(`${lines.join("\n")}\n`);
}

function described({ name, title, runnable, from, difference, missing, lacking }: ListedRecipe): string[] {
  const change = JSON.stringify(difference.micro ?? difference.paper);
  const differs = change === "{}" ? "" : ` with ${change}`;
  const why = [...(missing.paper ?? []).slice(1), ...(lacking ? [lacking] : [])].join("; ");
  return [
    `  ${name.padEnd(28)} ${title}; runs at ${runnable.length > 0 ? runnable.join(", ") : `no scale yet: ${why}`}`,
    `  ${"".padEnd(28)} ${from ?? "the scale's baseline"}${differs}`,
  ];
}
