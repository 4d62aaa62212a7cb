// Writes, for a chosen list of operators, from their schemas: src/operators.generated.ts, typed methods and functions;
// and native/direct.generated.cc, which names their typed C++ functions.
// `node scripts/generate.mjs`; with --check it only says whether the files are up to date.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { latestBuild, packageRoot as root } from "./cache.mjs";

const holder = { exports: {} };
// Of whatever sources: it is asked for libtorch's schemas only, and some of its sources are written here.
const build = latestBuild();
process.dlopen(holder, build.addon);
const native = holder.exports;

// "operator.overload", or "operator.overload as name". Two lines of one name: its second argument decides which; of a
// reduction, whether dimensions are given.
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

/**
 * TypeScript type of a schema type, and the expression that lowers a value of it to what the addon reads.
 * @param list "first" or "next" list of the call: lists cross through shared memory (lists.ts)
 */
function typeOf(type, fixedSize, list) {
  const optional = type.endsWith("?");
  const base = optional ? type.slice(0, -1) : type;
  const numbers = fixedSize
    ? ["number | readonly number[]", (v) => `${list}List(${v}, ${fixedSize})`]
    : ["readonly number[]", (v) => `${list}List(${v})`];
  const known = {
    Tensor: ["Tensor", (v) => `${v}.handle`, (v) => `${v}?.handle`],
    "Tensor[]": ["readonly Tensor[]", (v) => `${list}Tensors(${v})`],
    "Tensor?[]": ["readonly (Tensor | null)[]", (v) => `${list}Tensors(${v})`],
    Scalar: ["number | boolean"],
    int: ["number"],
    SymInt: ["number"],
    float: ["number"],
    bool: ["boolean"],
    str: ["string"],
    Device: ["string"],
    ScalarType: ["DType", (v) => `dtypeCode(${v})`, (v) => `dtypeCode(${v})`],
    "int[]": numbers,
    "SymInt[]": numbers,
    "float[]": numbers,
    "bool[]": ["readonly boolean[]", (v) => `${list}List(${v})`],
  }[base];
  return known
    ? { type: optional ? `${known[0]} | null` : known[0], lower: (optional && known[2]) || known[1] || ((v) => v) }
    : undefined;
}

// These have no meaning from JavaScript here: their defaults are taken.
const silent = new Set(["Layout?", "MemoryFormat?", "Generator?", "Layout", "MemoryFormat"]);
const reserved = new Set(["in", "from", "function", "default", "var"]);

function parametersOf(op) {
  let list = "first";
  return op.arguments.map(([name, type, hasDefault, fixedSize], index) => {
    if (silent.has(type) || name === "pin_memory") return { silent: true };
    const mapped = typeOf(type, fixedSize, list);
    if (type.includes("[]")) list = "next";
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
    return p.lower(p.name);
  });
  while (lowered.at(-1) === "undefined") lowered.pop();
  const result = resultOf(op);
  const call = runCall(op, lowered, shown.length > 0 ? parameters.filter((p) => p.optional) : []);
  const signature = shown.map((p) => `${p.name}${p.optional ? "?" : ""}: ${p.type}`).join(", ");
  const body =
    result.type === "this" || result.type === "void"
      ? `${call};${result.type === "this" ? " return this;" : ""}`
      : `return ${result.make(call)};`;
  return { signature, body, result: result.type, schema: op.schema };
}

/** What is not given is not passed either: an argument that is not there costs the addon nothing to read. */
function runCall(op, lowered, optional) {
  const run = (list) => `${op.constant}.run(${list.join(", ")})`;
  const [first] = optional;
  if (!first) return run(lowered);
  const required = lowered.slice(
    0,
    parametersOf(op).findIndex((p) => p.name === first.name),
  );
  const isBare = optional.map(({ name }) => `${name} === undefined`).join(" && ");
  return `(${isBare} ? ${run(required)} : ${run(lowered)})`;
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
  const whole = variants.find(({ second }) => second === "ScalarType?"); // over all dimensions: (dtype)
  if (whole) {
    const v = variants.find((variant) => variant !== whole);
    const own = v.signature.split(", ").map((parameter) => parameter.split(/[?:]/)[0]);
    const isWhole = own.slice(0, -1).map((parameter) => `${parameter} === undefined`);
    const body = `if (${isWhole.join(" && ")}) { ${whole.body} } ${v.body}`;
    return `  /**\n${doc}\n   */\n  ${name}(${v.signature}): ${v.result} { ${body} }`;
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
import { firstList, firstTensors, nextList, nextTensors } from "./lists.js";
import type { Tensor } from "./tensor.js";
import { toTensor } from "./wrap.js";

${constants.join("\n")}

const results = <T>(values: unknown, make: (values: unknown[]) => T): T => make(values as unknown[]);

/** The operators whose first argument is \`self\`, as methods: every Tensor has them. */
export abstract class TensorMethods {
  /** @internal */
  abstract get handle(): number;

${[...methods].map(([name, variants]) => emitMethod(name, variants)).join("\n\n")}
}

${functions.map((f) => `/**\n * \`${f.schema}\`\n */\nexport function ${f.name}(${f.signature}): ${f.result} { ${f.body} }`).join("\n\n")}
`;

/** The struct in ATen's headers that holds an operator's typed function. */
function structOf({ operator, overload }) {
  return `${operator}${overload ? `_${overload}` : ""}`;
}

/** The header of that struct: an in-place operator is in the one of its base. */
function headerOf({ operator }) {
  const include = join(build.libtorch.root, "include");
  const headers = [operator, operator.replace(/_$/, "")].map((name) => `ATen/ops/${name}_ops.h`);
  return headers.find((header) => existsSync(join(include, header)));
}

const headers = [...new Set(chosen.map(headerOf))].sort();
// Arithmetic with a number is done with a tensor of that number, which is kept.
const arithmetic = new Set(["add", "sub", "mul", "div", "add_", "sub_", "mul_", "div_"]);
// Operators that the addon has a way of its own for.
const own = new Map([
  ["linear", "&linear"],
  ["scaled_dot_product_attention", "&attention"],
  ["_fused_adamw_", "&fusedAdamw"],
]);
const entries = chosen.map((op) => {
  const typed = (overload) => own.get(op.operator) ?? `&at::_ops::${structOf({ ...op, overload })}::call`;
  const callback =
    op.overload === "Scalar" && arithmetic.has(op.operator)
      ? `directNumber<${typed("Tensor")}, ${typed("Scalar")}>`
      : `direct<${typed(op.overload)}>`;
  return `    {"aten::${op.operator}", "${op.overload}", guarded<${callback}>},`;
});
const table = `// Generated by scripts/generate.mjs from scripts/operators.txt. Do not edit.
#include "direct.h"

#include <algorithm>
#include <iterator>

#include "attention.h"
#include "linear.h"
#include "optimizer.h"

// They only declare what they name: after what defines it.
${headers.map((header) => `#include <${header}>`).join("\n")}

namespace asvr {

static const Direct operators[] = {
${entries.join("\n")}
};

const Direct* findDirect(std::string_view name, std::string_view overload) {
  const Direct* found = std::find_if(std::begin(operators), std::end(operators), [&](const Direct& op) {
    return op.name == name && op.overload == overload;
  });
  return found == std::end(operators) ? nullptr : found;
}

}  // namespace asvr
`;

for (const [path, content] of [
  ["src/operators.generated.ts", text],
  ["native/direct.generated.cc", table],
]) {
  const file = join(root, path);
  if (!process.argv.includes("--check")) writeFileSync(file, content);
  else if (!existsSync(file) || readFileSync(file, "utf8") !== content) {
    process.stderr.write(`${path} is out of date: run node scripts/generate.mjs\n`);
    process.exitCode = 1;
  }
}
process.stdout.write(`${chosen.length} operators, ${methods.size} methods, ${functions.length} functions\n`);
