// A plugin of TypeDoc: the API's pages are grouped by what things are for, which is the folder that they are in. `@group`
// in a docstring says otherwise.
import { Comment, CommentTag, Converter, ReflectionKind } from "typedoc";

/** Titles in the order of the pages, and what is in them: paths that begin so, or the name of a namespace. */
const torch = {
  Tensors: ["tensor.ts", "dtype.ts", "nested-numbers.ts"],
  Operators: ["F", "call.ts"],
  Gradients: [],
  Modules: ["nn", "nn/"],
  Optimizers: ["optim", "optim/"],
  Memory: ["scope.ts"],
  "Devices, threads, random numbers": ["runtime.ts"],
  Files: ["safetensors/", "weights/"],
  Errors: ["errors.ts"],
  Testing: ["testing/"],
};
const asvr = {
  "Asking a model": ["chat/"],
  "Vision-language models": ["model/"],
  "Vision towers": ["vision/"],
  "Language models, templates, decoding": ["language/"],
  "Layers of networks": ["layers/"],
  "Visual tokenizers": ["tokenizers/"],
  Supervisions: ["supervision/"],
  "Pictures, records, samples": ["data/"],
  "Micro world": ["micro/"],
  Training: ["training/"],
  "Recipes and the paper's tables": ["recipes/"],
  "Evaluation and benchmarks": ["evaluation/"],
  "Explaining a model": ["analysis/"],
  "Runs and reports": ["runs/", "report/", "studies/", "figures/", "parts/"],
  "Checkpoints of others": ["checkpoints/"],
  Export: ["export/"],
  Errors: ["errors.ts", "fault.ts"],
  Server: ["serve/"],
};
// What both have comes after what one has alone.
const order = [...Object.keys(torch).filter((title) => !(title in asvr)), ...Object.keys(asvr)];

export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const entry of entriesOf(project)) {
      if (entry.kindOf(ReflectionKind.Reference)) continue; // it stands in the module that it comes from
      if ([entry, ...(entry.signatures ?? [])].some(({ comment }) => comment?.getTag("@group"))) continue;
      const group = groupOf(entry);
      if (!group) app.logger.warn(`${entry.name} (${placeOf(entry)}) is in no group of scripts/api/groups.mjs`);
      entry.comment ??= new Comment();
      entry.comment.blockTags.push(new CommentTag("@group", [{ kind: "text", text: group ?? "Others" }]));
    }
  });
  const last = -1000; // after TypeDoc made the groups
  app.converter.on(
    Converter.EVENT_RESOLVE_END,
    ({ project }) => {
      for (const { groups } of [project, ...project.getReflectionsByKind(ReflectionKind.Module)]) {
        groups?.sort((a, b) => order.indexOf(a.title) - order.indexOf(b.title));
      }
    },
    last,
  );
}

/** What a program can import by name. */
function entriesOf(project) {
  const modules = project.getReflectionsByKind(ReflectionKind.Module);
  return [project, ...modules].flatMap(({ children = [] }) => children.filter((child) => !modules.includes(child)));
}

function placeOf(entry) {
  return entry.sources?.[0]?.fullFileName ?? "";
}

function groupOf(entry) {
  const [, name, path] = /packages\/(torch|asvr)\/src\/(.*)$/.exec(placeOf(entry)) ?? [];
  const isNamespace = entry.kindOf(ReflectionKind.Namespace);
  const table = Object.entries(name === "asvr" ? asvr : torch);
  return table.find(([, parts]) =>
    parts.some((part) => (isNamespace ? part === entry.name : path?.startsWith(part))),
  )?.[0];
}
