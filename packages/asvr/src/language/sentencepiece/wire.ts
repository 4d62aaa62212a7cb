/** One field of a protobuf message: a number as varint, or bytes; fixed-size numbers are bytes, too. */
export interface WireField {
  readonly number: number;
  readonly value: number | Uint8Array;
}

/**
 * The fields of a protobuf message, in their order. Nothing is copied; a length that reaches past the end, a number
 * over 2^53 and a kind of field that is long gone are errors, so that the work is bounded by the size of the message.
 * @throws Error that says where the message breaks off
 */
export function* fieldsOf(message: Uint8Array): Generator<WireField> {
  let at = 0;
  const varint = () => {
    let value = 0;
    let scale = 1;
    for (let bytes = 0; bytes < 10; bytes++) {
      if (at >= message.length) throw new Error(`it breaks off inside a number, at byte ${at}`);
      const byte = message[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new Error(`a number at byte ${at - 10} is longer than 10 bytes`);
  };
  const bytes = (length: number) => {
    if (length > message.length - at) {
      throw new Error(`a field of ${length} bytes begins at byte ${at} of ${message.length}`);
    }
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const start = at;
    const key = varint();
    const number = Math.floor(key / 8);
    if (number < 1 || number > 2 ** 29 - 1) throw new Error(`there is no field ${number}, named at byte ${start}`);
    const kind = key % 8;
    if (kind === 0) yield { number, value: varint() };
    else if (kind === 1) yield { number, value: bytes(8) };
    else if (kind === 2) yield { number, value: bytes(varint()) };
    else if (kind === 5) yield { number, value: bytes(4) };
    else throw new Error(`field ${number} at byte ${start} is of kind ${kind}, which does not exist`);
  }
}
