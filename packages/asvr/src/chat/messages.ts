import type { RgbImage } from "../data/images.js";
import type { TemplateMessage } from "../language/chat-template.js";
import type { ChatMessage } from "./chat-model.js";

/** The pictures of a conversation, in order. */
export function picturesOf(messages: readonly ChatMessage[]): RgbImage[] {
  return messages.flatMap(({ content }) =>
    typeof content === "string" ? [] : content.flatMap((part) => (part.type === "image" ? [part.image] : [])),
  );
}

/** The messages as a template takes them: a picture is its place. */
export function renderable(messages: readonly ChatMessage[]): TemplateMessage[] {
  return messages.map(({ role, content }) => ({
    role,
    content:
      typeof content === "string"
        ? content
        : content.map((part) => (part.type === "image" ? { type: "image" as const } : part)),
  }));
}
