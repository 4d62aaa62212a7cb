import { join } from "node:path";
import type { RgbImage } from "../data/images.js";
import { Random } from "../random.js";
import type { ChatMessage } from "./chat-model.js";
import type { AnswerEvent } from "./chat-service.js";

const numerics = join(import.meta.dirname, "..", "..", "goldens", "numerics");

/** Published folders, tiny: contexts of 256 tokens, pictures of 9 and more. */
export const tinyFolder = join(numerics, "hf-llava-tiny");
export const tinyNextFolder = join(numerics, "hf-llava-next-tiny");

/** A picture of noise, another one for each seed. */
export function noise(seed: number, width = 42, height = 42): RgbImage {
  const random = new Random(seed);
  return { width, height, data: Uint8Array.from({ length: width * height * 3 }, () => random.int(256)) };
}

export function userSays(text: string, ...pictures: RgbImage[]): ChatMessage[] {
  const images = pictures.map((image) => ({ type: "image" as const, image }));
  return [{ role: "user", content: [...images, { type: "text", text }] }];
}

export async function wholeAnswer(events: AsyncIterable<AnswerEvent>) {
  let text = "";
  for await (const event of events) {
    if (event.type === "text") text += event.text;
    else if (event.type === "end") return { text, ...event };
  }
  throw new Error("the answer did not end");
}
