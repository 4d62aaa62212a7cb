// Writes src/operators.generated.ts: typed methods and functions for a chosen list of operators, from their schemas.
// `node scripts/generate.mjs`; with --check it only says whether the file is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { currentFile, packageRoot as root } from "./cache.mjs";

const holder = { exports: {} };
process.dlopen(holder, JSON.parse(readFileSync(currentFile(), "utf8")).addon);
const native = holder.exports;

// "operator.overload", or "operator.overload as name". Two lines of one name: its second argument decides which.
const chosen = readFileSync(join(root, "scripts", "operators.txt"), "utf8")
  .split("\n")
  .map((line) => line.replace(/#.*/, "").trim())
  .filter(Boolean)
  .map((line) => {
    const [, operator, overload = "", name] = /^(\w+)(?:\.(\w+))?(?: as (\w+))?$/.exec(line);
    const described = native.findOperator(`aten::${operator}`, overload);
    if (!described) throw new Error(`operators.txt: libtorch has no aten::${line}`);
    return { operator, overload, name: name ?? camel(operator), constant: constant(operator, overload), ...described };
  });

function camel(name) {
  const [, body, tail] = /^_*(.*?)(_*)$/.exec(name);
  return body.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()) + tail;
}

function constant(operator, overload) {
  return `${operator}${overload ? `_${overload}` : ""}_`
    .replace(/^_+/, "")
    .toUpperCase()
    .replace(/_+$/, operator.endsWith("_") ? "_" : "");
}

/** TypeScript type of a schema type, and the expression that lowers a value of it to what the addon reads. */
function typeOf(type, fixedSize) {
  const optional = type.endsWith("?");
  const base = optional ? type.slice(0, -1) : type;
  const known = {
    Tensor: ["Tensor", (v) => `${v}.handle`, (v) => `${v}?.handle`],
    "Tensor[]": ["readonly Tensor[]", (v) => `${v}.map(handleOf)`, (v) => `${v}?.map(handleOf)`],
    "Tensor?[]": ["readonly (Tensor | null)[]", (v) => `${v}.map(handleOrNull)`],
    Scalar: ["number | boolean"],
    int: ["number"],
    SymInt: ["number"],
    float: ["number"],
    bool: ["boolean"],
    str: ["string"],
    Device: ["string"],
    ScalarType: ["DType", (v) => `dtypeCode(${v})`, (v) => `dtypeCode(${v})`],
    "int[]": [fixedSize ? "number | readonly number[]" : "readonly number[]"],
    "SymInt[]": [fixedSize ? "number | readonly number[]" : "readonly number[]"],
    "float[]": ["readonly number[]"],
    "bool[]": ["readonly boolean[]"],
  }[base];
  return known
    ? { type: optional ? `${known[0]} | null` : known[0], lower: (optional ? known[2] : known[1]) ?? ((v) => v) }
    : undefined;
}

// These have no meaning from JavaScript here: their defaults are taken.
const silent = new Set(["Layout?", "MemoryFormat?", "Generator?", "Layout", "MemoryFormat"]);
const reserved = new Set(["in", "from", "function", "default", "var"]);

function parametersOf(op) {
  return op.arguments.map(([name, type, hasDefault, fixedSize], index) => {
    if (silent.has(type) || name === "pin_memory") return { silent: true };
    const mapped = typeOf(type, fixedSize);
    if (!mapped) throw new Error(`${op.operator}: type ${type} of ${name} has no mapping`);
    const self = index === 0 && name === "self" && type === "Tensor";
    const label = reserved.has(camel(name)) ? `${camel(name)}_` : camel(name);
    return { self, name: label, omissible: hasDefault || type.endsWith("?"), ...mapped };
  });
}

function resultOf(op) {
  const one = (type, alias) => {
    if (alias === 0) return { type: "this", make: () => "this" };
    if (type === "Tensor") return { type: "Tensor", make: (v) => `toTensor(${v} as number)` };
    if (type === "Tensor[]") return { type: "Tensor[]", make: (v) => `(${v} as number[]).map(toTensor)` };
    if (type === "bool") return { type: "boolean", make: (v) => `${v} as boolean` };
    return { type: "number", make: (v) => `${v} as number` };
  };
  if (op.returns.length === 0) return { type: "void", make: (v) => v };
  if (op.returns.length === 1) return one(op.returns[0], op.aliases[0]);
  const parts = op.returns.map((type, i) => one(type, op.aliases[i]));
  return {
    type: `[${parts.map((part) => part.type).join(", ")}]`,
    make: (v) => `results(${v}, (r) => [${parts.map((part, i) => part.make(`r[${i}]`)).join(", ")}])`,
  };
}

function emit(op, isMethod) {
  const parameters = parametersOf(op);
  const shown = parameters.filter((p) => !p.silent && !(isMethod && p.self));
  for (let i = shown.length - 1, open = true; i >= 0; i--) {
    open &&= shown[i].omissible;
    shown[i].optional = open;
  }
  const lowered = parameters.map((p) => {
    if (p.silent) return "undefined";
    if (p.self && isMethod) return "this.handle";
    const optionalTensor = p.optional && p.lower(p.name) !== p.name && !p.lower(p.name).includes("?");
    return optionalTensor && p.type.includes("Tensor") ? `${p.name} && ${p.lower(p.name)}` : p.lower(p.name);
  });
  while (lowered.at(-1) === "undefined") lowered.pop();
  const result = resultOf(op);
  const call = `${op.constant}.run(${lowered.join(", ")})`;
  const signature = shown.map((p) => `${p.name}${p.optional ? "?" : ""}: ${p.type}`).join(", ");
  const body =
    result.type === "this" || result.type === "void"
      ? `${call};${result.type === "this" ? " return this;" : ""}`
      : `return ${result.make(call)};`;
  return { signature, body, result: result.type, schema: op.schema };
}

const methods = new Map();
const functions = [];
for (const op of chosen) {
  const isMethod = op.arguments[0]?.[0] === "self" && op.arguments[0][1] === "Tensor";
  if (!isMethod) functions.push({ name: op.name, ...emit(op, false) });
  else methods.set(op.name, [...(methods.get(op.name) ?? []), { ...emit(op, true), second: op.arguments[1]?.[1] }]);
}

function emitMethod(name, variants) {
  const doc = variants.map((v) => `   * \`${v.schema}\``).join("\n");
  if (variants.length === 1) {
    const [v] = variants;
    return `  /**\n${doc}\n   */\n  ${name}(${v.signature}): ${v.result} { ${v.body} }`;
  }
  const [scalar, tensor] = variants[0].second === "Scalar" ? variants : [variants[1], variants[0]];
  const rest = scalar.signature.split(", ").slice(1).join(", ");
  const parameter = scalar.signature.split(":")[0];
  const body = `if (typeof ${parameter} === "object") { ${tensor.body} } ${scalar.body}`;
  return `  /**\n${doc}\n   */\n  ${name}(${parameter}: Tensor | number | boolean${rest ? `, ${rest}` : ""}): ${scalar.result} { ${body} }`;
}

const constants = chosen.map((op) => `const ${op.constant} = new Operator("aten::${op.operator}", "${op.overload}");`);
const text = `// Generated by scripts/generate.mjs from libtorch's schemas and scripts/operators.txt. Do not edit.
import { type DType, dtypeCode } from "./dtype.js";
import { Operator } from "./invoke.js";
import type { Tensor } from "./tensor.js";
import { toTensor } from "./wrap.js";

${constants.join("\n")}

const handleOf = (tensor: Tensor) => tensor.handle;
const handleOrNull = (tensor: Tensor | null) => (tensor ? tensor.handle : null);
const results = <T>(values: unknown, make: (values: unknown[]) => T): T => make(values as unknown[]);

/** The operators whose first argument is \`self\`, as methods: every Tensor has them. */
export abstract class TensorMethods {
  /** @internal */
  abstract get handle(): number;

${[...methods].map(([name, variants]) => emitMethod(name, variants)).join("\n\n")}
}

${functions.map((f) => `/**\n * \`${f.schema}\`\n */\nexport function ${f.name}(${f.signature}): ${f.result} { ${f.body} }`).join("\n\n")}
`;

const file = join(root, "src", "operators.generated.ts");
if (process.argv.includes("--check")) {
  if (readFileSync(file, "utf8") !== text) {
    process.stderr.write("operators.generated.ts is out of date: run node scripts/generate.mjs\n");
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, text);
  process.stdout.write(`${chosen.length} operators, ${methods.size} methods, ${functions.length} functions\n`);
}
