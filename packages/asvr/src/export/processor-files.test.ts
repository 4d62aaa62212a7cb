import { expect, test } from "vitest";
import { ChatTemplate, type TemplateMessage } from "../language/chat-template.js";
import { promptOf } from "../language/conversation.fixture.js";
import { type Message, renderConversation, templates } from "../language/conversation.js";
import { chatTemplate } from "./processor-files.js";

test.each(["micro", "v1", "smollm2"] as const)(
  "the exported template puts a picture where %s was trained with it",
  (name) => {
    for (const shown of [0, 1]) {
      const said: Message[] = [];
      const asked: TemplateMessage[] = [];
      for (const turn of [0, 1]) {
        const text = `question ${turn}`;
        said.push({ from: "human", value: turn === shown ? `<image>\n${text}` : text });
        const picture = turn === shown ? [{ type: "image" as const }] : [];
        asked.push({ role: "user", content: [...picture, { type: "text", text }] });
        if (turn === 1) break;
        said.push({ from: "gpt", value: "answer" });
        asked.push({ role: "assistant", content: "answer" });
      }
      const template = templates[name];
      const rendered = new ChatTemplate(chatTemplate(template)).render(asked, { addGenerationPrompt: true });
      expect(rendered).toBe(promptOf(renderConversation(template, said)));
    }
  },
);
