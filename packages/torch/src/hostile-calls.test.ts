// Typed operators, and what is written by hand beside them, with arguments that do not go together, in a process of their
// own: it may refuse, but not die.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";

const here = dirname(fileURLToPath(import.meta.url));
const compiled = pathToFileURL(join(here, "..", "dist", "index.js")).href;
const SEED = Number(process.env.ASVR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const CALLS_EACH = 12;
const SECONDS = 60;

// `fromFile` makes the file that it maps, as long as it is told to.
const folder = mkdtempSync(join(tmpdir(), "asvr-calls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Form = "method" | "function" | "entry";

interface Operator {
  readonly name: string;
  readonly form: Form;
  /** TypeScript types. */
  readonly parameters: readonly string[];
}

/** What stands for an argument: a tensor as `{ shape, dtype }`; what JSON lacks as `{ number }`, `{ typed }` and so on. */
type Spec = unknown;

interface Call {
  readonly name: string;
  readonly form: Form;
  readonly args: readonly Spec[];
}

/** Name and types of every typed operator, as a method and as a function, read from the generated source. */
function typedOperators(): Operator[] {
  const source = readFileSync(join(here, "operators.generated.ts"), "utf8");
  // A name that the language keeps is declared with an underscore, and exported without.
  return [...source.matchAll(/^(export function |function | {2})(\w+)\((.*?)\): [^{]*\{ .*\}$/gm)].map(
    ([, start, name, signature]) => ({
      name: start === "function " ? name!.slice(0, -1) : name!,
      form: start === "  " ? "method" : "function",
      parameters: signature!
        .split(", ")
        .filter(Boolean)
        .map((parameter) => parameter.replace(/^\w+\??: /, "")),
    }),
  );
}

/** What is written by hand: `entries` in the program below has the calls. */
const entries: Operator[] = Object.entries({
  tensor: ["nested", "options"],
  tensorOfArray: ["typed", "options"],
  copyFrom: ["Tensor", "typed"],
  to: ["Tensor", "options"],
  item: ["Tensor"],
  size: ["Tensor", "wild"],
  setRequiresGrad: ["Tensor", "wild"],
  setGrad: ["Tensor", "Tensor | null"],
  backward: ["Tensor", "Tensor | null", "options"],
  backwardTwice: ["Tensor", "Tensor"],
  grad: ["readonly Tensor[]", "readonly Tensor[]", "options"],
  withGradients: ["Tensor", "readonly Tensor[]", "readonly (Tensor | null)[]", "number"],
  manualSeed: ["wild"],
  randomState: ["wild"],
  setRandomState: ["wild"],
  setRandomStateOf: ["wild"],
  setForgedState: ["wild", "wild"],
  setThreads: ["wild"],
  gradOfAnything: ["wild", "wild"],
}).map(([name, parameters]) => ({ name, form: "entry", parameters }));

const shapes = [
  [],
  [0],
  [1],
  [3],
  [2, 3],
  [3, 2],
  [0, 3],
  [2, 3, 4],
  [1, 2, 3, 4],
  [1, 2, 1, 4],
  [1, 2, 9, 4],
  [2, 1, 5, 5],
];
const dtypes = ["float32", "float32", "float32", "float64", "bfloat16", "int64", "uint8", "bool"];
const small = [0, 1, 2, 3, -1, -2];
const strange = [0.5, -0.5, 1e-9, 64, 1e9, 2 ** 31, -(2 ** 31), 2 ** 40, 2 ** 53, 2 ** 63, -1e300];
const noJson = ["NaN", "Infinity", "-Infinity"].map((number) => ({ number }));

const number = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Spec>(...small) },
  { weight: 1, arbitrary: fc.constantFrom<Spec>(...strange, ...noJson) },
);

/** Tensors of one call are mostly of one shape and dtype: a call in which nothing fits is refused at once. */
function tensorLike(shape: readonly number[], dtype: string): fc.Arbitrary<Spec> {
  return fc.record({
    shape: fc.oneof({ weight: 3, arbitrary: fc.constant(shape) }, { weight: 2, arbitrary: fc.constantFrom(...shapes) }),
    dtype: fc.oneof({ weight: 5, arbitrary: fc.constant(dtype) }, { weight: 1, arbitrary: fc.constantFrom(...dtypes) }),
    transposed: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  });
}

/** Numbers, and what has no business here. */
const wild = fc.oneof(
  number,
  fc.constantFrom<Spec>(
    true,
    null,
    "",
    "3",
    "NaN",
    "float32",
    [],
    [1],
    [[1], [2, 3]],
    {},
    { shape: [2], dtype: "bool" },
  ),
  fc.constantFrom<Spec>(
    { bigint: "1" },
    { missing: 0 },
    { cyclic: 0 },
    { array: 1e9 },
    { typed: "DataView", bytes: 8 },
  ),
);
/** What has a handle is taken for a tensor: the addon reads it. */
const handle = number.map((value) => ({ object: { handle: value, shape: [2, 3] } }));
const nested: fc.Arbitrary<Spec> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    { weight: 3, arbitrary: number },
    wild,
    fc.array(tie("value"), { maxLength: 4 }),
  ),
})).value;
const typed = fc.record({
  typed: fc.constantFrom(
    ...["Float32Array", "Float32Array", "Float64Array", "BigInt64Array", "Int32Array", "Int16Array", "Int8Array"],
    ...["Uint8Array", "Uint16Array", "Uint32Array", "Uint8ClampedArray", "BigUint64Array", "DataView", "Detached"],
  ),
  bytes: fc.constantFrom(0, 8, 16, 24, 48, 96, 120),
});
const options = fc.record(
  {
    shape: fc.oneof(fc.constantFrom<Spec>(...shapes, [-1, -6], [0.5, 12], [2 ** 53, 0], [2 ** 31, 2 ** 33, 0]), wild),
    dtype: fc.oneof(fc.constantFrom<Spec>(...dtypes), wild),
    device: fc.oneof(fc.constantFrom<Spec>("cpu", "meta", "cuda:99", "cpu:7"), wild),
    retainGraph: fc.oneof(fc.boolean(), wild),
    createGraph: fc.oneof(fc.boolean(), wild),
    gradients: fc.oneof(fc.array(tensorLike([2, 3], "float32"), { maxLength: 3 }), wild),
  },
  { requiredKeys: [] },
);

function argument(type: string, tensor: fc.Arbitrary<Spec>): fc.Arbitrary<Spec> {
  const list = fc.array(number, { maxLength: 5 });
  const one: Record<string, fc.Arbitrary<Spec>> = {
    Tensor: tensor,
    "Tensor | number | boolean": fc.oneof(tensor, number, fc.boolean()),
    "readonly Tensor[]": fc.array(tensor, { maxLength: 3 }),
    "readonly (Tensor | null)[]": fc.array(fc.option(tensor), { maxLength: 3 }),
    number,
    "number | boolean": fc.oneof(number, fc.boolean()),
    boolean: fc.boolean(),
    string: fc.constantFrom("cpu", "meta", "cuda:99", "", "no/such/folder/x", "mean", "sum"),
    DType: fc.constantFrom(...dtypes),
    "readonly number[]": list,
    "number | readonly number[]": fc.oneof(number, list),
    "readonly boolean[]": fc.array(fc.boolean(), { maxLength: 4 }),
    wild: fc.oneof(wild, tensor, handle, fc.array(handle, { maxLength: 2 })),
    nested,
    typed: fc.oneof({ weight: 6, arbitrary: typed }, { weight: 1, arbitrary: wild }),
    options: fc.oneof({ weight: 6, arbitrary: options.map((object) => ({ object })) }, { weight: 1, arbitrary: wild }),
  };
  const base = type.replace(/ \| null$/, "");
  if (!one[base]) throw new Error(`no values of type ${type} here`);
  return base === type ? one[base] : fc.option(one[base]);
}

function callsOf({ name, form, parameters }: Operator): fc.Arbitrary<Call> {
  return fc.tuple(fc.constantFrom(...shapes), fc.constantFrom(...dtypes)).chain(([shape, dtype]) => {
    const tensor = tensorLike(shape, dtype);
    const types = form === "method" ? ["Tensor", ...parameters] : parameters;
    return fc.tuple(...types.map((type) => argument(type, tensor))).map((args) => ({ name, form, args }));
  });
}

/** Makes the calls that it reads from standard input; a line before each and one after it, at once. */
const program = `
  const { writeSync, readFileSync } = require("node:fs");
  const calls = JSON.parse(readFileSync(0, "utf8"));
  import(${JSON.stringify(compiled)}).then((torch) => {
    const { F, Tensor, tidy, tensor, setThreads } = torch;
    setThreads(1);
    const isTensor = (spec) => spec !== null && typeof spec === "object" && "shape" in spec;
    const make = (spec) => {
      if (Array.isArray(spec)) return spec.map(make);
      if (isTensor(spec)) {
        const made = F.ones(spec.shape, spec.dtype);
        return spec.transposed && spec.shape.length > 1 ? made.transpose(-1, -2) : made;
      }
      if (spec === null || typeof spec !== "object") return spec;
      if ("object" in spec) return Object.fromEntries(Object.entries(spec.object).map(([key, value]) => [key, make(value)]));
      if ("typed" in spec) return typed(spec.typed, new ArrayBuffer(spec.bytes));
      if ("bigint" in spec) return BigInt(spec.bigint);
      if ("array" in spec) return new Array(spec.array);
      if ("missing" in spec) return undefined;
      if ("cyclic" in spec) return cyclic;
      return "number" in spec ? Number(spec.number) : spec;
    };
    const cyclic = [];
    cyclic.push(cyclic);
    const typed = (name, buffer) => {
      if (name !== "Detached") return new globalThis[name](buffer);
      const array = new Uint8Array(buffer);
      structuredClone(buffer, { transfer: [buffer] });
      return array;
    };
    // Outputs with a history that leads to the inputs, as far as their dtype can have one.
    const wanting = (x) => (x.dtype.includes("float") ? x.detach().setRequiresGrad(true) : x);
    const entries = {
      tensor: (values, options) => tensor(values, options),
      tensorOfArray: (array, options) => tensor(array, options),
      copyFrom: (x, array) => x.contiguous().copyFrom(array),
      to: (x, options) => x.to(options),
      item: (x) => void x.item(),
      size: (x, dim) => void x.size(dim),
      setRequiresGrad: (x, wanted) => x.setRequiresGrad(wanted),
      setGrad: (x, gradient) => {
        const leaf = wanting(x);
        leaf.grad = gradient;
        leaf.mul(2).sum().backward();
        return leaf.grad;
      },
      backward: (x, gradient, options) => {
        const leaf = wanting(x);
        leaf.mul(leaf).backward(gradient, options);
        return leaf.grad;
      },
      backwardTwice: (x, gradient) => {
        const leaf = wanting(x);
        const product = leaf.mul(leaf);
        for (let i = 0; i < 2; i++) product.backward(gradient);
        return leaf.grad;
      },
      grad: (inputs, others, options) => {
        const leaves = inputs.map(wanting);
        return torch.grad([...leaves.map((x) => x.mul(x)), ...others], leaves, options);
      },
      withGradients: (value, inputs, gradients, expected) => {
        const leaves = inputs.map(wanting);
        torch.withGradients(value, leaves, gradients, expected).mul(2).sum().backward();
        return leaves.map((leaf) => leaf.grad);
      },
      manualSeed: (seed) => torch.manualSeed(seed),
      randomState: (device) => torch.randomState(device),
      setRandomState: (state) => torch.setRandomState(state),
      setRandomStateOf: (device) => torch.setRandomState(torch.randomState(), device),
      setForgedState: (left, next) => {
        const state = torch.randomState();
        const words = new Int32Array(state.data().buffer);
        [words[2], words[4]] = [Number(left), Number(next)];
        torch.setRandomState(tensor(new Uint8Array(words.buffer)));
        return F.rand([1000]);
      },
      setThreads: (count) => {
        if (count === 1) setThreads(count);
        else torch.setThreads(typeof count === "number" && count > 1 && count < 2000 ? -count : count);
      },
      gradOfAnything: (outputs, inputs) => torch.grad(outputs, inputs),
    };
    for (const [i, { name, form, args }] of calls.entries()) {
      writeSync(1, i + "\\n");
      let said;
      try {
        said = tidy(() => {
          const [self, ...rest] = args.map(make);
          const result =
            form === "method" ? self[name](...rest) : (form === "function" ? F : entries)[name](self, ...rest);
          for (const one of [result].flat()) {
            if (!(one instanceof Tensor) || one.elementCount > 1e5 || one.device !== "cpu") continue;
            one.toNumbers();
          }
          return result instanceof Tensor ? { shape: result.shape } : {};
        });
      } catch (error) {
        said = { refused: error instanceof Error };
      }
      writeSync(1, i + " " + JSON.stringify(said) + "\\n");
    }
  });
`;

interface Ended {
  readonly results: ReadonlyMap<number, { shape?: number[]; refused?: boolean }>;
  /** The call during which the process ended, if it did. */
  readonly died: number | undefined;
  readonly how: string;
}

/** Runs the calls in a process with 6 GB of address space, which is ended at `deadline`. */
function runCalls(calls: readonly Call[], deadline: number): Promise<Ended> {
  const command = 'ulimit -v 6000000; ulimit -c 0; exec "$0" -e "$1"';
  const child = spawn("sh", ["-c", command, process.execPath, program], {
    cwd: folder,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let printed = "";
  let errors = "";
  child.stdout.on("data", (text) => (printed += text));
  child.stderr.on("data", (text) => (errors += text));
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(calls));
  const timer = setTimeout(() => child.kill("SIGKILL"), Math.max(1, deadline - performance.now()));
  return new Promise((resolve) =>
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      const lines = printed.split("\n").filter(Boolean);
      const results = new Map(
        lines
          .filter((line) => line.includes(" "))
          .map((line) => {
            const space = line.indexOf(" ");
            return [Number(line.slice(0, space)), JSON.parse(line.slice(space))] as const;
          }),
      );
      const begun = lines.filter((line) => !line.includes(" ")).length;
      const isDone = status === 0 && begun === calls.length;
      resolve({ results, died: isDone ? undefined : begun - 1, how: `${signal ?? status} ${errors.slice(0, 300)}` });
    }),
  );
}

function shapeOf(spec: Spec): readonly number[] {
  const { shape, transposed } = spec as { shape: readonly number[]; transposed: boolean };
  return transposed && shape.length > 1 ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape;
}

/** What an operator's own rule says of the arguments that it took. */
const rules: Record<string, (args: readonly Spec[]) => boolean> = {
  scaledDotProductAttention: ([query, key, value]) =>
    shapeOf(key).at(-2) === shapeOf(value).at(-2) && shapeOf(query).at(-1) === shapeOf(key).at(-1),
  linear: ([input, weight]) => shapeOf(input).at(-1) === shapeOf(weight).at(-1),
  matmul: ([left, right]) => shapeOf(left).at(-1) === (shapeOf(right).at(-2) ?? shapeOf(right).at(-1)),
  fusedAdamw_: ([parameters, ...others]) =>
    others
      .slice(0, 3)
      .every(
        (list) => JSON.stringify((list as Spec[]).map(shapeOf)) === JSON.stringify((parameters as Spec[]).map(shapeOf)),
      ),
};

test(`whatever a typed operator is given, it answers or refuses (ASVR_SEED=${SEED})`, {
  timeout: 100_000,
}, async () => {
  const operators = [...typedOperators(), ...entries];
  expect(operators.filter(({ form }) => form === "method").length).toBeGreaterThan(130);
  expect(operators.filter(({ form }) => form === "function").length).toBeGreaterThan(150);
  const calls = operators.flatMap((operator, i) =>
    fc.sample(callsOf(operator), {
      seed: SEED + i,
      numRuns:
        operator.form === "entry" ? 8 * CALLS_EACH : operator.parameters.length > 2 ? 2 * CALLS_EACH : CALLS_EACH,
    }),
  );
  const deadline = performance.now() + SECONDS * 1000;
  const faults: string[] = [];
  let answered = 0;
  for (let rest = calls; rest.length > 0 && faults.length < 20; ) {
    const { results, died, how } = await runCalls(rest, deadline);
    for (const [i, result] of results) {
      const { name, args } = rest[i]!;
      if (result.refused === undefined) answered++;
      if (result.refused === undefined && rules[name]?.(args) === false) {
        faults.push(`${name} took ${JSON.stringify(args)}`);
      }
    }
    if (died === undefined) break;
    faults.push(`${how.trim()} in ${JSON.stringify(rest[died])}`);
    if (performance.now() >= deadline) break;
    rest = rest.slice(died + 1);
  }
  expect(faults).toEqual([]);
  expect(answered).toBeGreaterThan(calls.length / 10);
});
