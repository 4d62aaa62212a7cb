import sharp from "sharp";
import { noise } from "../../chat/fixture.js";
import type { AnswerRequest } from "./answerer.js";
import type { Picture } from "./data/table.js";

/** A picture of noise as benchmarks' tables have it. */
export async function picture(seed: number): Promise<Picture> {
  const { width, height, data } = noise(seed);
  const png = await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  return { key: `picture ${seed}`, bytes: async () => png };
}

/** A question about a picture, with an answer of two tokens. */
export const ask = (id: string, shown: Picture, prompt = `<image>\nQuestion ${id}?`): AnswerRequest => ({
  ...{ id, prompt, pictures: [shown], maxNewTokens: 2 },
});
