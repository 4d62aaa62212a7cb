import { type PieceKind, pieceKinds, type SentencePieceModel } from "./model-proto.js";

/** Writes a model as SentencePiece does. */
export function writeSentencePieceModel(model: SentencePieceModel): Uint8Array {
  const { pieces, kind, byteFallback, whitespaceAsSuffix, normalizer } = model;
  const flag = (number: number, value: boolean) => numberField(number, value ? 1 : 0);
  const file = Buffer.concat([
    ...pieces.map((piece) =>
      bytesField(
        1,
        Buffer.concat([
          bytesField(1, Buffer.from(piece.text)),
          floatField(2, piece.score),
          numberField(3, numberOf(piece.kind)),
        ]),
      ),
    ),
    bytesField(
      2,
      Buffer.concat([numberField(3, kind === "bpe" ? 2 : 1), flag(24, whitespaceAsSuffix), flag(35, byteFallback)]),
    ),
    bytesField(
      3,
      Buffer.concat([
        bytesField(2, normalizer.charsMap),
        flag(3, normalizer.addDummyPrefix),
        flag(4, normalizer.removeExtraWhitespaces),
        flag(5, normalizer.escapeWhitespaces),
      ]),
    ),
  ]);
  return Uint8Array.from(file);
}

function numberOf(kind: PieceKind): number {
  return pieceKinds.indexOf(kind);
}

export function numberField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number * 8), varint(value)]);
}

export function bytesField(number: number, value: Uint8Array): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(value.length), value]);
}

function floatField(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint(number * 8 + 5), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}
