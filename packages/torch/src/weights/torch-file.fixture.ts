// Writes files as torch.save does, and such as it never would: zip archives, and pickles opcode by opcode.

/** What a test may make different from what torch.save writes. */
export interface ZipRecord {
  readonly name: string;
  readonly data: Uint8Array;
  /** Bytes of the directory's entry, and of the record's own header, to overwrite: offset from its start -> bytes. */
  readonly entry?: Readonly<Record<number, Uint8Array>>;
  readonly local?: Readonly<Record<number, Uint8Array>>;
  /** Extra field of the directory's entry. */
  readonly extra?: Uint8Array;
}

export interface ZipOptions {
  /** Of each record's data. torch takes 64. */
  readonly alignment?: number;
  /** Whether to write the zip64 end, as newer torch always does. */
  readonly zip64?: boolean;
  /** Bytes of the end to overwrite. */
  readonly end?: Readonly<Record<number, Uint8Array>>;
  readonly end64?: Readonly<Record<number, Uint8Array>>;
}

/** A number in little-endian bytes. */
export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function patched(bytes: Buffer, patches: Readonly<Record<number, Uint8Array>> = {}): Buffer {
  for (const [at, patch] of Object.entries(patches)) bytes.set(patch, Number(at));
  return bytes;
}

/** A zip archive of stored records, each followed by its sizes, as torch writes it. */
export function zip(records: readonly ZipRecord[], options: ZipOptions = {}): Buffer {
  const { alignment = 64, zip64 = true, end = {}, end64 = {} } = options;
  const parts: Buffer[] = [];
  const entries: Buffer[] = [];
  let at = 0;
  const push = (part: Uint8Array) => {
    parts.push(Buffer.from(part));
    at += part.length;
  };
  for (const { name, data, entry, local, extra = Buffer.alloc(0) } of records) {
    const text = Buffer.from(name);
    const begin = at;
    const padding = (alignment - ((begin + 34 + text.length) % alignment)) % alignment;
    const sizes = Buffer.concat([u32(0), u32(data.length), u32(data.length)]);
    const kind = Buffer.concat([u16(0x808), u16(0), u32(0)]); // sizes follow, UTF-8; stored; no time
    const header = [u32(0x04034b50), u16(0), kind, Buffer.alloc(12), u16(text.length), u16(4 + padding)];
    const alignmentField = [u16(0x4246), u16(padding), Buffer.alloc(padding)];
    push(patched(Buffer.concat([...header, text, ...alignmentField]), local));
    push(data);
    push(Buffer.concat([u32(0x08074b50), sizes]));
    const fixed = [u32(0x02014b50), u32(0), kind, sizes, u16(text.length), u16(extra.length)];
    entries.push(patched(Buffer.concat([...fixed, Buffer.alloc(10), u32(begin), text, extra]), entry));
  }
  const directory = Buffer.concat(entries);
  const begin = at;
  const count = records.length;
  push(directory);
  if (zip64) {
    const place = at;
    const fields = [u64(44), u16(0x31e), u16(45), u64(0), u64(count), u64(count), u64(directory.length), u64(begin)];
    push(patched(Buffer.concat([u32(0x06064b50), ...fields]), end64));
    push(Buffer.concat([u32(0x07064b50), u32(0), u64(place), u32(1)]));
  }
  const fields = [u32(0x06054b50), u32(0), u16(count), u16(count), u32(directory.length), u32(begin), u16(0)];
  push(patched(Buffer.concat(fields), end));
  return Buffer.concat(parts);
}

const ascii = (text: string) => Buffer.from(text, "latin1");

/** Opcodes that push one value each. */
export const op = {
  none: ascii("N"),
  mark: ascii("("),
  true: ascii("\x88"),
  false: ascii("\x89"),
  emptyTuple: ascii(")"),
  reduce: ascii("R"),
  build: ascii("b"),
  int: (value: number) => Buffer.concat([ascii("J"), Buffer.from(Int32Array.of(value).buffer)]),
  long: (value: bigint, length: number) => {
    const bytes = Array.from({ length }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
    return Buffer.from([0x8a, length, ...bytes]);
  },
  float: (value: number) => {
    const bytes = Buffer.alloc(9, "G");
    bytes.writeDoubleBE(value, 1);
    return bytes;
  },
  text: (value: string) => Buffer.concat([ascii("X"), u32(Buffer.byteLength(value)), Buffer.from(value)]),
  global: (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`),
  tuple: (...values: Uint8Array[]) => Buffer.concat([ascii("("), ...values, ascii("t")]),
  list: (...values: Uint8Array[]) => Buffer.concat([ascii("]("), ...values, ascii("e")]),
  dict: (entries: Readonly<Record<string, Uint8Array>>) =>
    Buffer.concat([
      ascii("}("),
      ...Object.entries(entries).flatMap(([key, value]) => [op.text(key), value]),
      ascii("u"),
    ]),
  call: (callee: Uint8Array, ...values: Uint8Array[]) => Buffer.concat([callee, op.tuple(...values), op.reduce]),
  put: (index: number) => Buffer.concat([ascii("r"), u32(index)]),
  get: (index: number) => Buffer.concat([ascii("j"), u32(index)]),
};

/** A pickle of protocol 2 that makes one value. */
export function pickle(...value: Uint8Array[]): Buffer {
  return Buffer.concat([ascii("\x80\x02"), ...value, ascii(".")]);
}

const orderedDict = op.call(op.global("collections", "OrderedDict"));

/** A storage: ("storage", its class, key, device, count). */
export function storage(type: string, key: string, count: number): Buffer {
  const [module, name] = type.includes(".") ? (type.split(/\.(?=\w+$)/) as [string, string]) : ["torch", type];
  const id = op.tuple(op.text("storage"), op.global(module, name), op.text(key), op.text("cuda:0"), op.int(count));
  return Buffer.concat([id, ascii("Q")]);
}

/** A tensor on a storage. */
export function pickledTensor(
  on: Uint8Array,
  shape: readonly number[],
  strides: readonly number[],
  offset = 0,
  dtype?: string,
): Buffer {
  const sizes = (values: readonly number[]) => op.tuple(...values.map((value) => op.long(BigInt(value), 8)));
  const args = [on, op.long(BigInt(offset), 8), sizes(shape), sizes(strides), op.false, orderedDict];
  const rebuild = (version: string) => op.global("torch._utils", `_rebuild_tensor_${version}`);
  return dtype ? op.call(rebuild("v3"), ...args, op.global("torch", dtype)) : op.call(rebuild("v2"), ...args);
}

/** A file of torch.save: its pickle, and its storages by key. */
export function torchFile(
  value: Uint8Array,
  storages: Readonly<Record<string, ArrayBufferView>> = {},
  { version = "3\n", byteOrder = "little", ...options }: ZipOptions & { version?: string; byteOrder?: string } = {},
): Buffer {
  const data = Object.entries(storages).map(([key, { buffer, byteOffset, byteLength }]) => ({
    name: `archive/data/${key}`,
    data: new Uint8Array(buffer, byteOffset, byteLength),
  }));
  return zip(
    [
      { name: "archive/data.pkl", data: pickle(value) },
      { name: "archive/byteorder", data: Buffer.from(byteOrder) },
      ...data,
      { name: "archive/version", data: Buffer.from(version) },
    ],
    options,
  );
}

/** What `body` takes of the processor: unlike the time on a clock, it does not depend on what else runs. */
export function cpuSeconds(body: () => void): number {
  const before = process.cpuUsage();
  body();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
