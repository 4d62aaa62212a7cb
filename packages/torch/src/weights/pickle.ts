import { allowedGlobals, isOtherDType, storageOf } from "./pickle-globals.js";
import { type Caller, type Fail, PickledFunction, type PickleValue } from "./pickle-values.js";

/** A state dict of fifty thousand tensors takes less than a third of it. */
export const MAX_PICKLE_BYTES = 32 << 20;
/** Containers, their elements, marks and remembered values: what bounds the memory that a pickle can take. */
const MAX_MADE = 1_000_000;
const MAX_STACK = 500_000;
const MAX_LINE_BYTES = 256;

const emptyTuple: readonly PickleValue[] = Object.freeze([]);

/**
 * Reads a pickle as `torch.save` writes it (protocol 2) into values. Whatever is not on the list of allowed opcodes and
 * globals is refused before it has any effect: there is no way from a pickle to code, to files or to other classes.
 * @param fail throws: what is wrong, with the byte at which it stands
 */
export function unpickle(bytes: Uint8Array, fail: Fail): PickleValue {
  return new Unpickler(bytes, fail).run();
}

/** The stack machine that pickles are programs for. */
class Unpickler {
  readonly #view: DataView;
  readonly #fail: Fail;
  readonly #caller: Caller;
  readonly #stack: PickleValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  readonly #steps: ReadonlyMap<number, () => void> = byCode({
    N: () => this.#push(null),
    "\x88": () => this.#push(true),
    "\x89": () => this.#push(false),
    K: () => this.#push(this.#byte()),
    M: () => this.#push(this.#view.getUint16(this.#take(2), true)),
    J: () => this.#push(this.#view.getInt32(this.#take(4), true)),
    "\x8a": () => this.#push(this.#integer(this.#byte())),
    G: () => this.#push(this.#view.getFloat64(this.#take(8), false)),
    X: () => this.#push(this.#text(this.#uint32())),
    "}": () => this.#pushNew(new Map()),
    "]": () => this.#pushNew([]),
    ")": () => this.#push(emptyTuple),
    "\x85": () => this.#pushNew(Object.freeze(this.#pop(1))),
    "\x86": () => this.#pushNew(Object.freeze(this.#pop(2))),
    "\x87": () => this.#pushNew(Object.freeze(this.#pop(3))),
    t: () => this.#pushNew(Object.freeze(this.#popToMark())),
    "(": () => this.#mark(),
    a: () => this.#append(this.#pop(1)),
    e: () => this.#append(this.#popToMark()),
    s: () => this.#setItems(this.#pop(2)),
    u: () => this.#setItems(this.#popToMark()),
    q: () => this.#remember(this.#byte()),
    r: () => this.#remember(this.#uint32()),
    h: () => this.#recall(this.#byte()),
    j: () => this.#recall(this.#uint32()),
    c: () => this.#global(),
    R: () => this.#reduce(),
    b: () => this.#build(),
    Q: () => this.#pushNew(storageOf(this.#pop(1)[0]!, this.#fail)),
  });
  #at = 0;
  #made = 0;
  #opcodeAt = 0;

  constructor(
    readonly bytes: Uint8Array,
    fail: Fail,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fail = (problem) => fail(`the pickle, at byte ${this.#opcodeAt}: ${problem}`);
    this.#caller = { fail: this.#fail, charge: (count) => this.#charge(count) };
  }

  run(): PickleValue {
    if (this.bytes.length > MAX_PICKLE_BYTES) {
      this.#fail(`it has ${this.bytes.length} bytes, ${MAX_PICKLE_BYTES} are allowed`);
    }
    if (this.#byte() !== 0x80) this.#fail("it does not begin with its protocol");
    const protocol = this.#byte();
    if (protocol !== 2) this.#fail(`it is of protocol ${protocol}, torch.save writes 2`);
    for (;;) {
      this.#opcodeAt = this.#at;
      const opcode = this.#byte();
      if (opcode === 0x2e) return this.#stop();
      const step = this.#steps.get(opcode) ?? this.#refuseOpcode(opcode);
      step();
      if (this.#stack.length > MAX_STACK) this.#fail("it piles up more values than any tensors need");
    }
  }

  #stop(): PickleValue {
    const [value] = this.#pop(1);
    if (this.#stack.length > 0 || this.#marks.length > 0) this.#fail("it ends with values that nothing took");
    if (this.#at < this.bytes.length) this.#fail(`${this.bytes.length - this.#at} bytes follow its end`);
    return value!;
  }

  #global(): void {
    const name = `${this.#line()}.${this.#line()}`;
    const allowed = allowedGlobals.get(name);
    if (allowed) {
      this.#push(allowed);
      return;
    }
    if (isOtherDType(name)) this.#fail(`${name} is of a dtype that has no name here`);
    this.#fail(
      `it asks for ${JSON.stringify(name)}. Only tensors and plain containers are read, and nothing was run. ` +
        "Where you trust who made the file, load it in Python and save its state dict alone.",
    );
  }

  #reduce(): void {
    const [called, args] = this.#pop(2);
    if (!(called instanceof PickledFunction)) this.#fail("it calls what is no function. Nothing was run.");
    if (!Array.isArray(args) || !Object.isFrozen(args)) this.#fail(`${called.name} is called without a tuple`);
    this.#pushNew(called.call(args, this.#caller));
  }

  /** Attributes of a dict, such as the `_metadata` of a state dict: they have no meaning here. */
  #build(): void {
    this.#pop(1);
    if (!(this.#top() instanceof Map)) this.#fail("it sets the state of an object. Nothing was run.");
  }

  #append(elements: PickleValue[]): void {
    const list = this.#top();
    if (!Array.isArray(list) || Object.isFrozen(list)) this.#fail("it appends to what is no list");
    this.#charge(elements.length);
    for (const element of elements) list.push(element);
  }

  #setItems(items: PickleValue[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map)) this.#fail("it sets an item of what is no dict");
    if (items.length % 2 !== 0) this.#fail("it sets a key without a value");
    this.#charge(items.length / 2);
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (key !== null && typeof key === "object" && !Object.isFrozen(key)) this.#fail("a dict has a key that is none");
      if (dict.has(key)) this.#fail(`a dict has the key ${shown(key)} twice`);
      dict.set(key, items[i + 1]!);
    }
  }

  #remember(index: number): void {
    this.#charge(1);
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) this.#fail(`it recalls value ${index}, which it never kept`);
    this.#push(value);
  }

  #refuseOpcode(opcode: number): never {
    const name = otherOpcodes.get(opcode) ?? `0x${opcode.toString(16).padStart(2, "0")}`;
    return this.#fail(`opcode ${name} is none that tensors and plain containers need. Nothing was run.`);
  }

  #push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #pushNew(value: PickleValue): void {
    this.#charge(1);
    this.#stack.push(value);
  }

  #top(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) this.#fail("it takes a value where there is none");
    return this.#stack.at(-1)!;
  }

  #pop(count: number): PickleValue[] {
    const begin = this.#stack.length - count;
    if (begin < (this.#marks.at(-1) ?? 0)) this.#fail("it takes a value where there is none");
    return this.#stack.splice(begin);
  }

  #mark(): void {
    this.#charge(1);
    this.#marks.push(this.#stack.length);
  }

  #popToMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) return this.#fail("it goes back to a mark that it never set");
    return this.#stack.splice(mark);
  }

  #charge(count: number): void {
    this.#made += count;
    if (this.#made > MAX_MADE) this.#fail("it makes more values than any tensors need");
  }

  #byte(): number {
    return this.bytes[this.#take(1)]!;
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** Steps over `count` bytes and returns where they begin. */
  #take(count: number): number {
    const begin = this.#at;
    const left = this.bytes.length - begin;
    if (count > left) this.#fail(`${count} bytes are announced, but only ${left} are left. It may have been cut off.`);
    this.#at += count;
    return begin;
  }

  #text(length: number): string {
    const begin = this.#take(length);
    try {
      return utf8.decode(this.bytes.subarray(begin, this.#at));
    } catch {
      return this.#fail("text is not UTF-8");
    }
  }

  #line(): string {
    const end = this.bytes.subarray(this.#at, this.#at + MAX_LINE_BYTES).indexOf(0x0a);
    if (end < 0) this.#fail(`a name without an end within ${MAX_LINE_BYTES} bytes`);
    const line = this.#text(end);
    this.#at++;
    return line;
  }

  /** Little-endian, two's complement. */
  #integer(length: number): number | bigint {
    const begin = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[begin + i]!);
    const signed = BigInt.asIntN(8 * length, value);
    const narrow = Number(signed);
    return Number.isSafeInteger(narrow) ? narrow : signed;
  }
}

/** A tuple may hold itself a million times over: it is not spelled out. */
function shown(key: PickleValue): string {
  return typeof key === "object" ? "of a tuple" : JSON.stringify(String(key).slice(0, 200));
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Opcodes that are refused by name: those that make objects or run code, and what other protocols write. */
const otherOpcodes = byCode({
  i: "INST",
  o: "OBJ",
  "\x81": "NEWOBJ",
  "\x92": "NEWOBJ_EX",
  "\x93": "STACK_GLOBAL",
  "\x82": "EXT1",
  "\x83": "EXT2",
  "\x84": "EXT4",
  P: "PERSID",
  "\x8b": "LONG4",
  "\x8c": "SHORT_BINUNICODE",
  "\x8d": "BINUNICODE8",
  "\x8e": "BINBYTES8",
  "\x96": "BYTEARRAY8",
  "\x97": "NEXT_BUFFER",
  "\x94": "MEMOIZE",
  "\x95": "FRAME",
  "\x80": "PROTO",
  T: "BINSTRING",
  U: "SHORT_BINSTRING",
  B: "BINBYTES",
  C: "SHORT_BINBYTES",
  L: "LONG",
  I: "INT",
  F: "FLOAT",
  S: "STRING",
  V: "UNICODE",
  d: "DICT",
  l: "LIST",
  g: "GET",
  p: "PUT",
  "0": "POP",
  "1": "POP_MARK",
  "2": "DUP",
});

function byCode<T>(byCharacter: Record<string, T>): ReadonlyMap<number, T> {
  return new Map(Object.entries(byCharacter).map(([character, value]) => [character.charCodeAt(0), value]));
}
