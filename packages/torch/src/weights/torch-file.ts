import { closeSync } from "node:fs";
import { dtypeBytes } from "../dtype.js";
import { CheckpointError } from "../errors.js";
import { openFile } from "../files.js";
import { readBytes } from "../read-bytes.js";
import { type ArchiveRecord, readArchive } from "./archive.js";
import { MAX_PICKLE_BYTES, unpickle } from "./pickle.js";
import type { Fail, PickledTensor } from "./pickle-values.js";
import { findTensors } from "./state-dict.js";
import type { StoredTensor } from "./stored.js";

/** The tensors of a file of `torch.save`, and the dict of it that they were found in. */
export interface TorchFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly inside: string;
}

const MAX_FORMAT_VERSION = 10; // the newest that torch itself reads
const SAVE_AGAIN = "Read it in Python and save it again: torch.save(torch.load(path, weights_only=True), path)";

/**
 * What a file of `torch.save` (torch 1.6 or newer) says of its tensors. No tensor is read, and no code of the file runs.
 * @param inside see `openWeights`
 * @throws CheckpointError that names the file and what is wrong
 */
export function readTorchFile(path: string, inside: string | undefined): TorchFile {
  const fail: Fail = (problem) => {
    throw new CheckpointError(`${path}: ${problem}`);
  };
  let descriptor: number | undefined;
  try {
    const opened = openFile(path);
    descriptor = opened.descriptor;
    requireZip(readBytes(descriptor, 0, 512), fail);
    const records = readArchive(descriptor, opened.bytes, fail);
    const root = rootOf(records, fail);
    const read = (name: string, limit: number) => smallRecord(descriptor!, records, `${root}/${name}`, limit, fail);
    requireFormat(read("version", 16), read("byteorder", 16), fail);
    const found = findTensors(unpickle(read("data.pkl", MAX_PICKLE_BYTES)!, fail), inside, fail);
    const tensors = new Map<string, StoredTensor>();
    for (const [name, tensor] of found.tensors) {
      tensors.set(
        name,
        locate(tensor, root, records, (problem) => fail(`tensor ${JSON.stringify(name)}: ${problem}`)),
      );
    }
    return { tensors, inside: found.inside };
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: can't be read: ${(cause as Error).message}`, { cause });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Says what a file is that is no zip archive, where it is something that is often met in this place. */
function requireZip(first: Buffer, fail: Fail): void {
  const text = first.toString("latin1");
  if (text.startsWith("PK\x03\x04")) return;
  // After the protocol, the number that begins a file of torch 0.1.10 to 1.5, as a pickled integer of ten bytes.
  if (text.slice(2, 14) === "\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19") {
    fail(`it is in the format of torch before 1.6, which is not read here. ${SAVE_AGAIN}`);
  }
  if (text.slice(257, 262) === "ustar") {
    fail(`it is a tar archive, the format of torch before 0.1.10, which is not read here. ${SAVE_AGAIN}`);
  }
  if (text.startsWith("\x80")) fail(`it is a bare pickle, not a file of torch.save. ${SAVE_AGAIN}`);
  fail("it is not a zip archive, as torch.save writes. A safetensors file has to be named *.safetensors.");
}

/** The one folder of the archive that has everything in it. */
function rootOf(records: ReadonlyMap<string, ArchiveRecord>, fail: Fail): string {
  const roots = new Set<string>();
  for (const name of records.keys()) roots.add(name.slice(0, Math.max(0, name.indexOf("/"))));
  const [root, ...others] = roots;
  if (!root || others.length > 0 || !records.has(`${root}/data.pkl`)) {
    return fail("the archive is not one of torch.save: it has no data.pkl in one folder with all else");
  }
  if (records.has(`${root}/constants.pkl`)) {
    fail("it is a TorchScript program, not weights. Load it in Python, torch.jit.load, and save its state_dict().");
  }
  return root;
}

function smallRecord(
  descriptor: number,
  records: ReadonlyMap<string, ArchiveRecord>,
  name: string,
  limit: number,
  fail: Fail,
): Buffer | undefined {
  const record = records.get(name);
  if (!record) return undefined;
  if (record.bytes > limit) fail(`record ${JSON.stringify(name)}: it has ${record.bytes} bytes, ${limit} are allowed`);
  const bytes = readBytes(descriptor, record.begin, record.bytes);
  return bytes.length === record.bytes ? bytes : fail(`record ${JSON.stringify(name)} could not be read whole`);
}

function requireFormat(version: Buffer | undefined, byteOrder: Buffer | undefined, fail: Fail): void {
  const number = /^\d{1,3}\n?$/.test(String(version)) ? Number(version) : 0;
  if (number < 1 || number > MAX_FORMAT_VERSION) {
    fail(`its version is ${JSON.stringify(version?.toString("latin1"))}, known are 1 to ${MAX_FORMAT_VERSION}`);
  }
  // torch before 2.1 wrote no such record, and ran on little-endian machines.
  const order = byteOrder?.toString("latin1") ?? "little";
  if (order !== "little") fail(`its byte order is ${JSON.stringify(order)}, only "little" is read. ${SAVE_AGAIN}`);
}

/** Where a tensor lies in the file, once nothing of it can be outside of its own storage. */
function locate(
  tensor: PickledTensor,
  root: string,
  records: ReadonlyMap<string, ArchiveRecord>,
  fail: Fail,
): StoredTensor {
  const { storage, dtype, shape, strides, offset } = tensor;
  const record = records.get(`${root}/data/${storage.key}`);
  if (!record) return fail(`its storage, record ${JSON.stringify(`${root}/data/${storage.key}`)}, is not there`);
  const storageBytes = storage.count * (storage.dtype ? dtypeBytes(storage.dtype) : 1);
  if (storageBytes !== record.bytes) {
    fail(
      `its storage of ${storage.count} ${storage.dtype ?? "bytes"} is ${record.bytes} bytes long, not ${storageBytes}`,
    );
  }
  const width = dtypeBytes(dtype);
  const count = shape.reduce((product, size) => product * size, 1);
  const described = `shape (${shape.join(", ")}), strides (${strides.join(", ")}) and offset ${offset}`;
  if (!Number.isSafeInteger(count * width)) fail(`${described} are more elements than can be counted`);
  if (count === 0) return { dtype, shape, strides: null, begin: record.begin, bytes: 0 };
  const span = shape.reduce((last, size, index) => last + (size - 1) * strides[index]!, 1);
  // Beyond 2^53 the sum is rounded, but larger than any file.
  if ((offset + span) * width > storageBytes) {
    fail(`${described} reach beyond its storage of ${storageBytes} bytes`);
  }
  return { dtype, shape, strides, begin: record.begin + offset * width, bytes: span * width };
}
