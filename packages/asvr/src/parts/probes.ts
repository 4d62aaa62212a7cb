import { noGrad, type Tensor, tidy } from "@asvr/torch";
import { readCaption } from "../micro/caption.js";
import type { Probe } from "../runs/run-folder.js";
import { indices } from "../training/objectives/pictures.js";
import { linearProbe, majority } from "./probe.js";

/** What of pictures the probes look into, each (pictures, positions, …). */
export interface Looked {
  features: Tensor;
  semantic: LookedCodes;
  appearance: LookedCodes;
}

/** One kind of codes: the sums of their vectors, and the codes, each less than the codebook's size. */
interface LookedCodes {
  vectors: Tensor;
  codes: Tensor;
  codebookSize: number;
}

/** A scene has two by two cells. */
const CELLS_A_SIDE = 2;

interface Example {
  picture: number;
  /** Undefined: the whole picture. */
  cell?: number;
  label: string;
}

/**
 * How much a linear map reads of the scene from features and from both kinds of codes; and how much of the codes
 * themselves from the features at their position, which the language model is given.
 * @param captions the full caption of each picture
 */
export function probeScenes(looked: Looked, captions: readonly string[]): Probe[] {
  const scenes = captions.map(readCaption);
  const things = scenes.flatMap(({ objects }, picture) => objects.map((object) => ({ picture, ...object })));
  const digits = scenes.flatMap(({ digit }, picture) => (digit ? [{ picture, ...digit }] : []));
  const backgrounds = scenes.flatMap(({ background }, picture) => (background ? [{ picture, background }] : []));
  const examples: [what: string, Example[]][] = [
    ["thing in a cell", things.map(({ picture, cell, concept }) => ({ picture, cell, label: concept }))],
    ["colour of its plate", things.map(({ picture, cell, color }) => ({ picture, cell, label: color }))],
    ["digit in a cell", digits.map(({ picture, cell, value }) => ({ picture, cell, label: String(value) }))],
    ["background", backgrounds.map(({ picture, background }) => ({ picture, label: background }))],
  ];
  const rows = examples.map(([what, list]) => probeExamples(what, list, looked));
  return [...rows, probeCodes(looked)];
}

function probeExamples(what: string, examples: readonly Example[], looked: Looked): Probe {
  const names = [...new Set(examples.map(({ label }) => label))].sort();
  const labels = Int32Array.from(examples, ({ label }) => names.indexOf(label));
  const accuracy = (of: Tensor) => tidy(() => linearProbe(gather(of, examples), labels, names.length)); // what was gathered is freed with it
  return {
    what,
    majority: majority(labels),
    features: accuracy(looked.features),
    semantic: accuracy(looked.semantic.vectors),
    appearance: accuracy(looked.appearance.vectors),
  };
}

/** The vectors of an example's positions side by side: (pictures, positions, dim) -> (examples, positions of it · dim) */
function gather(of: Tensor, examples: readonly Example[]): Tensor {
  const [, positions, dim] = of.shape as [number, number, number];
  const side = Math.sqrt(positions);
  const inCell = side / CELLS_A_SIDE;
  const places = (cell: number | undefined) =>
    Array.from({ length: positions }, (_, at) => at).filter((at) => {
      const [row, column] = [Math.floor(at / side), at % side];
      const holds = Math.floor(row / inCell) * CELLS_A_SIDE + Math.floor(column / inCell);
      return cell === undefined || holds === cell;
    });
  const flat = examples.flatMap(({ picture, cell }) => places(cell).map((at) => picture * positions + at));
  return of.reshape([-1, dim]).indexSelect(0, indices(flat, of.device)).view([examples.length, -1]);
}

/** The first code of a position from the feature there: what a model that sees the feature has to find out. */
function probeCodes({ features, semantic, appearance }: Looked): Probe {
  const accuracy = ({ codes, codebookSize }: LookedCodes) =>
    noGrad(() =>
      tidy(() => {
        const labels = Int32Array.from(codes.select(-1, 0).flatten().toNumbers());
        return { found: linearProbe(features.flatten(0, 1), labels, codebookSize), guessed: majority(labels) };
      }),
    );
  const [ofSemantic, ofAppearance] = [accuracy(semantic), accuracy(appearance)];
  return {
    what: "first code, from the feature at its position",
    majority: Math.max(ofSemantic.guessed, ofAppearance.guessed),
    semantic: ofSemantic.found,
    appearance: ofAppearance.found,
  };
}
