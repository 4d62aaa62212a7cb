// Writes, for a chosen list of operators, from their schemas: src/operators.generated.ts, typed functions and, of those
// whose first argument is a tensor, methods; and native/direct.generated.cc, which names their typed C++ functions.
// `node scripts/generate.mjs`; with --check it only says whether the files are up to date.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { latestBuild, packageRoot as root } from "./cache.mjs";

const holder = { exports: {} };
// Of whatever sources: it is asked for libtorch's schemas only, and some of its sources are written here.
const build = latestBuild();
process.dlopen(holder, build.addon);
const native = holder.exports;

// "# Group", then its operators: "operator.overload", or "operator.overload as name". Two lines of one name: its second
// argument decides which; of a reduction, whether dimensions are given.
let group = "";
const chosen = [];
for (const line of readFileSync(join(root, "scripts", "operators.txt"), "utf8").split("\n")) {
  if (line.startsWith("#")) group = line.slice(1).trim();
  else if (line !== "") chosen.push({ group, ...readOperator(line) });
}

function readOperator(line) {
  const [, operator, overload = "", name] = /^(\w+)(?:\.(\w+))?(?: as (\w+))?$/.exec(line) ?? [];
  const described = operator && native.findOperator(`aten::${operator}`, overload);
  if (!described) throw new Error(`operators.txt: libtorch has no aten::${line}`);
  return { operator, overload, name: name ?? camel(operator), constant: constant(operator, overload), ...described };
}

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
  return op.arguments.map(([name, type, hasDefault, fixedSize]) => {
    if (silent.has(type) || name === "pin_memory") return { silent: true };
    const mapped = typeOf(type, fixedSize, list);
    if (type.includes("[]")) list = "next";
    if (!mapped) throw new Error(`${op.operator}: type ${type} of ${name} has no mapping`);
    const label = reserved.has(camel(name)) ? `${camel(name)}_` : camel(name);
    return { name: label, omissible: hasDefault || type.endsWith("?"), ...mapped };
  });
}

/** Whether it is a method of its first argument. (Of `where` the second is `self`: PyTorch's method is another one.) */
function isMethod(op) {
  const [first, ...others] = op.arguments;
  return first?.[1] === "Tensor" && !others.some(([name]) => name === "self");
}

function resultOf(op, first) {
  const one = (type, alias) => {
    if (alias === 0) return { type: first === "this" ? "this" : "Tensor", make: () => first };
    if (type === "Tensor") return { type: "Tensor", make: (v) => `toTensor(${v} as number)` };
    if (type === "Tensor[]") return { type: "Tensor[]", make: (v) => `(${v} as number[]).map(toTensor)` };
    if (type === "bool") return { type: "boolean", make: (v) => `${v} as boolean` };
    return { type: "number", make: (v) => `${v} as number` };
  };
  if (op.returns.length === 0) return { type: "void", make: (v) => v };
  if (op.returns.length === 1) return { ...one(op.returns[0], op.aliases[0]), isFirst: op.aliases[0] === 0 };
  const parts = op.returns.map((type, i) => one(type, op.aliases[i]));
  return {
    type: `[${parts.map((part) => part.type).join(", ")}]`,
    make: (v) => `results(${v}, (r) => [${parts.map((part, i) => part.make(`r[${i}]`)).join(", ")}])`,
  };
}

/**
 * One operator's code. Both forms call libtorch themselves, so that neither costs more than the other.
 * @param first what stands for its first argument: "this" in a method, else that argument's name
 */
function emit(op, first) {
  const parameters = parametersOf(op);
  const shown = parameters.filter((p, i) => !p.silent && !(i === 0 && first === "this"));
  for (let i = shown.length - 1, open = true; i >= 0; i--) {
    open &&= shown[i].omissible;
    shown[i].optional = open;
  }
  const lowered = parameters.map((p, i) => (p.silent ? "undefined" : p.lower(i === 0 ? first : p.name)));
  while (lowered.at(-1) === "undefined") lowered.pop();
  const result = resultOf(op, first);
  const call = runCall(op, lowered, shown.length > 0 ? parameters.filter((p) => p.optional) : []);
  const signature = shown.map((p) => `${p.name}${p.optional ? "?" : ""}: ${p.type}`);
  let body = `return ${result.make(call)};`;
  if (result.type === "void") body = `${call};`;
  if (result.isFirst) body = `${call}; return ${first};`;
  return { signature, body, result: result.type };
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

/** The code of the operators that share a name. */
function emitAll(variants, form) {
  const firstOf = (op) => (form === "method" ? "this" : parametersOf(op)[0].name);
  const emitted = variants.map((op) => ({ second: op.arguments[1]?.[1], ...emit(op, firstOf(op)) }));
  if (emitted.length === 1) return emitted[0];
  const skipped = form === "method" ? 0 : 1; // the first argument is the same in both
  const nameOf = (parameter) => parameter.split(/[?:]/)[0];
  const whole = emitted.find(({ second }) => second === "ScalarType?"); // over all dimensions: (dtype)
  if (whole) {
    const v = emitted.find((variant) => variant !== whole);
    const own = v.signature.slice(skipped).map(nameOf);
    const isWhole = own.slice(0, -1).map((parameter) => `${parameter} === undefined`);
    return { ...v, body: `if (${isWhole.join(" && ")}) { ${whole.body} } ${v.body}` };
  }
  const [scalar, tensor] = emitted[0].second === "Scalar" ? emitted : [emitted[1], emitted[0]];
  const other = nameOf(scalar.signature[skipped]);
  return {
    ...scalar,
    signature: scalar.signature.with(skipped, `${other}: Tensor | number | boolean`),
    body: `if (typeof ${other} === "object") { ${tensor.body} } ${scalar.body}`,
  };
}

function documentation(variants, indent) {
  const lines = [...variants.map(({ schema }) => `\`${schema}\``), `@group ${variants[0].group}`];
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join("")}${indent} */\n`;
}

function emitMethod(name, variants) {
  const { signature, result, body } = emitAll(variants, "method");
  return `${documentation(variants, "  ")}  ${name}(${signature.join(", ")}): ${result} { ${body} }`;
}

/** A name that the language keeps can't be declared, but it can be exported: `F.var`. */
function emitFunction(name, variants) {
  const { signature, result, body } = emitAll(variants, "function");
  const code = (declared) => `function ${declared}(${signature.join(", ")}): ${result} { ${body} }`;
  const written = reserved.has(name) ? `${code(`${name}_`)}\nexport { ${name}_ as ${name} };` : `export ${code(name)}`;
  return documentation(variants, "") + written;
}

const functions = new Map();
for (const op of chosen) functions.set(op.name, [...(functions.get(op.name) ?? []), op]);
const methods = [...functions].filter(([, [op]]) => isMethod(op));

const constants = chosen.map((op) => `const ${op.constant} = new Operator("aten::${op.operator}", "${op.overload}");`);
const text = `// Generated by scripts/generate.mjs from libtorch's schemas and scripts/operators.txt. Do not edit.
import { type DType, dtypeCode } from "./dtype.js";
import { Operator } from "./invoke.js";
import { firstList, firstTensors, nextList, nextTensors } from "./lists.js";
import type { Tensor } from "./tensor.js";
import { toTensor } from "./wrap.js";

${constants.join("\n")}

const results = <T>(values: unknown, make: (values: unknown[]) => T): T => make(values as unknown[]);

/** The operators whose first argument is a tensor, as its methods: \`x.relu()\` is \`F.relu(x)\`. */
export abstract class TensorMethods {
  /** @internal */
  abstract get handle(): number;

${methods.map(([name, variants]) => emitMethod(name, variants)).join("\n\n")}
}

${[...functions].map(([name, variants]) => emitFunction(name, variants)).join("\n\n")}
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
process.stdout.write(`${chosen.length} operators, ${methods.length} methods, ${functions.size} functions\n`);
