import { F, noGrad, type Tensor, tensor, tidy } from "@asvr/torch";
import { question as asked } from "../chat/answer-all.js";
import { embedPrompt } from "../chat/chat-model.js";
import type { RunChat } from "../chat/run-chat.js";
import type { RgbImage } from "../data/images.js";
import { preprocess } from "../data/preprocess.js";
import { ConfigError } from "../errors.js";
import { encodeOnce } from "../parts/codes.js";
import { ownPreprocessing } from "../parts/own-pictures.js";
import { type CodeEmbeddings, CodeSupervision, DualSupervision } from "../supervision/supervision.js";
import type { VisualHead } from "../supervision/visual-head.js";

/** How well a model expects the codes of a picture that it sees. */
export interface Surprise {
  /** −log p of each position's code, in nats, a depth a row; depths before it are given, as in training. */
  readonly nats: number[][];
  /** Codes that were the most likely ones, by depth. */
  readonly right: number[];
  /** The codes that the model itself would say, each depth after its own choice before: a position a row. */
  readonly predicted: number[][];
}

/**
 * @param hiddenStates (positions, hiddenSize), aligned: each predicts the codes of its row
 * @param codes int64 (positions, D)
 * @throws ShapeError when positions, depth or widths disagree
 */
export function surpriseOf(head: VisualHead, tokenizer: CodeEmbeddings, hiddenStates: Tensor, codes: Tensor): Surprise {
  const depths = Array.from({ length: head.config.depth }, (_, depth) => depth);
  return noGrad(() =>
    tidy(() => {
      const features = head.features(hiddenStates, tokenizer.embed(codes));
      const nats: number[][] = [];
      const right: number[] = [];
      for (const depth of depths) {
        tidy(() => {
          const logits = head.logitsAt(depth, features.select(1, depth)).to("float32"); // (positions, codebookSize)
          const code = codes.select(1, depth);
          nats.push(logits.logSoftmax(-1).gather(1, code.unsqueeze(1)).neg().flatten().toNumbers());
          right.push(logits.argmax(-1).eq(code).sum().item());
        });
      }
      return { nats, right, predicted: nested(predictedCodes(head, tokenizer, hiddenStates)) };
    }),
  );
}

/** The most likely code of each depth after those before it, int64 (positions, D). */
function predictedCodes(head: VisualHead, tokenizer: CodeEmbeddings, hiddenStates: Tensor): Tensor {
  const { depth: depths } = head.config;
  return tidy(() => {
    let codes = F.zeros([hiddenStates.size(0), depths], "int64", hiddenStates.device);
    for (let depth = 0; depth < depths; depth++) {
      codes = tidy(() => {
        // Of a depth's features only the codes before it matter: those after it may still be anything.
        const features = head.features(hiddenStates, tokenizer.embed(codes)).select(1, depth);
        const best = head.logitsAt(depth, features).argmax(-1, true);
        const column = tensor([depth], { device: codes.device }).to("int64");
        return codes.indexCopy(1, column, best);
      });
    }
    return codes;
  });
}

export interface PictureSurprise extends Surprise {
  /** Which codes: "semantic" or "appearance". */
  readonly target: "semantic" | "appearance";
  readonly codebookSize: number;
}

/**
 * The surprise of a run's visual head at a picture: what of it the language model's states hold, and what they missed.
 * Codes are the picture's own, also of a control that was taught those of another picture.
 * @param question matters only where the template has it before the picture
 * @returns a map for each kind of codes that the run predicts
 * @throws ConfigError for a run without visual supervision, or whose text begins with the picture ("next")
 */
export function pictureSurprise(run: RunChat, picture: RgbImage, question: string): PictureSurprise[] {
  const { model, parts, recipe, imageTokens } = run.row;
  const supervisions = supervisionsOf(run);
  const prompt = run.prompt([asked(question, [picture])]);
  return noGrad(() =>
    tidy(() => {
      const before = model.alignment === "next" ? 1 : 0; // Eq. 2 as printed: the state before a position predicts it
      const start = prompt.inputIds.indexOf(run.imageTokenId) - before;
      if (start < 0) throw new ConfigError('the text begins with its picture: alignment "next" has no state before it');
      const states = model.language.model
        .forward(embedPrompt(run, prompt, [run.see(picture)]))
        .select(0, 0)
        .narrow(0, start, imageTokens); // (positions, hiddenSize)
      const preprocessing = ownPreprocessing(recipe);
      const shape = [1, 3, preprocessing.size, preprocessing.size];
      const pixels = tensor(preprocess(picture, preprocessing), { shape, device: model.device });
      const encoded = encodeOnce(parts, recipe, pixels);
      return supervisions.map(({ targets, head }) => {
        const target = targets[0] as PictureSurprise["target"];
        const codes = encoded[target].select(0, 0).to("int64");
        const { codebookSize } = head.config;
        return { target, codebookSize, ...surpriseOf(head, parts[target], states, codes) };
      });
    }),
  );
}

function supervisionsOf({ name, row }: RunChat): CodeSupervision[] {
  const { supervision } = row.model;
  if (supervision instanceof DualSupervision) return [supervision.semantic, supervision.appearance];
  if (supervision instanceof CodeSupervision) return [supervision];
  throw new ConfigError(`${name} was trained without visual supervision: nothing in it predicts codes of a picture`);
}

function nested(codes: Tensor): number[][] {
  const depth = codes.size(1);
  const all = codes.toNumbers();
  return Array.from({ length: codes.size(0) }, (_, position) => all.slice(position * depth, (position + 1) * depth));
}
