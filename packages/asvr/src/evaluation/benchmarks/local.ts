import { answerAll, type ChatRequest, question } from "../../chat/answer-all.js";
import type { ChatModel } from "../../chat/chat-model.js";
import { decodeImage, type RgbImage } from "../../data/images.js";
import { DataError } from "../../errors.js";
import type { Answer, Answerer, AnswerRequest } from "./answerer.js";
import type { Picture } from "./data/table.js";

export interface LocalOptions {
  /** Written beside the answers: a run goes on with the model that began it. */
  readonly name: string;
  /** Questions that are answered side by side. */
  readonly maxRunning?: number;
}

/**
 * A model in this process as somebody to ask benchmarks: greedily, questions of unequal length side by side, a picture
 * decoded and looked at once however many questions it has. What the model does not take is refused: a prompt that fills
 * its context, a picture that can't be decoded. The model stays its owner's.
 */
export function localAnswerer(model: ChatModel, { name, maxRunning = 32 }: LocalOptions): Answerer {
  return {
    name,
    async *answer(requests, signal) {
      const undecoded: Answer[] = [];
      const options = { maxRunning, ahead: 4 * maxRunning, refusals: "answer", ...(signal && { signal }) } as const;
      for await (const { id, text, refused } of answerAll(model, asked(requests, undecoded), options)) {
        yield* undecoded.splice(0);
        yield { id, text, ...(refused !== undefined && { refused }) };
      }
      yield* undecoded;
    },
  };
}

/** @param undecoded gets the questions whose picture is none */
async function* asked(requests: readonly AnswerRequest[], undecoded: Answer[]): AsyncGenerator<ChatRequest> {
  const pictures = new RecentPictures();
  for (const { id, prompt, pictures: shown, maxNewTokens } of requests) {
    const images: RgbImage[] = [];
    try {
      for (const picture of shown) images.push(await pictures.decoded(picture));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      undecoded.push({ id, text: "", refused: error.message });
      continue;
    }
    yield { id, messages: [question(prompt.replaceAll("<image>\n", ""), images)], maxNewTokens, temperature: 0 };
  }
}

/** The last few pictures, decoded: requests about one stand next to each other. */
class RecentPictures {
  readonly #decoded = new Map<string, RgbImage>();

  async decoded(picture: Picture): Promise<RgbImage> {
    const { key } = picture;
    const known = this.#decoded.get(key);
    if (known) return known;
    const content = await picture.bytes();
    const image = await decodeImage(content, { name: `picture ${key}`, misnamed: "accept", orientation: "ignore" });
    if (this.#decoded.size >= 8) this.#decoded.delete(this.#decoded.keys().next().value!);
    this.#decoded.set(key, image);
    return image;
  }
}
