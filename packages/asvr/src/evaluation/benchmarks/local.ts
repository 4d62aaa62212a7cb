import { answerAll, type ChatRequest, question } from "../../chat/answer-all.js";
import type { ChatModel } from "../../chat/chat-model.js";
import { decodeBytes, type RgbImage } from "../../data/images.js";
import type { Answerer, AnswerRequest } from "./answerer.js";
import type { Picture } from "./data/table.js";

export interface LocalOptions {
  /** Written beside the answers: a run goes on with the model that began it. */
  readonly name: string;
  /** Questions that are answered side by side. */
  readonly maxRunning?: number;
}

/**
 * A model in this process as somebody to ask benchmarks: greedily, questions of unequal length side by side, a picture
 * decoded and looked at once however many questions it has. The model stays its owner's.
 */
export function localAnswerer(model: ChatModel, { name, maxRunning = 32 }: LocalOptions): Answerer {
  return {
    name,
    async *answer(requests, signal) {
      const pictures = new RecentPictures();
      const options = { maxRunning, ahead: 4 * maxRunning, ...(signal && { signal }) };
      for await (const { id, text } of answerAll(model, asked(requests, pictures), options)) yield { id, text };
    },
  };
}

async function* asked(requests: readonly AnswerRequest[], pictures: RecentPictures): AsyncGenerator<ChatRequest> {
  for (const { id, prompt, pictures: shown, maxNewTokens } of requests) {
    const images: RgbImage[] = [];
    for (const picture of shown) images.push(await pictures.decoded(picture));
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
    const image = await decodeBytes(content, `picture ${key}`, { misnamed: "accept", orientation: "ignore" });
    if (this.#decoded.size >= 8) this.#decoded.delete(this.#decoded.keys().next().value!);
    this.#decoded.set(key, image);
    return image;
  }
}
