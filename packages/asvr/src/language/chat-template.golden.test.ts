import { goldenFamily } from "@asvr/torch/testing";
import { expect } from "vitest";
import { DataError } from "../errors.js";
import { ChatTemplate, type TemplateMessage } from "./chat-template.js";

interface Sidecar {
  readonly templates: readonly {
    readonly name: string;
    readonly jinja: string;
    readonly bos_token: string | null;
    readonly eos_token: string | null;
    readonly cases: readonly Case[];
  }[];
}
interface Case {
  readonly label: string;
  readonly messages: readonly TemplateMessage[];
  readonly prompt?: string;
  readonly prompt_generation?: string;
  readonly prompt_continue?: string;
  readonly raises?: string;
}

goldenFamily<unknown, Sidecar>("j_chat_templates", (golden) => {
  for (const { name, jinja, bos_token, eos_token, cases } of golden.sidecar.templates) {
    const template = new ChatTemplate(jinja, {
      ...(bos_token === null ? {} : { bos_token }),
      ...(eos_token === null ? {} : { eos_token }),
    });
    for (const { label, messages, prompt, prompt_generation, prompt_continue, raises } of cases) {
      const check = (expected: string | undefined, options = {}) => {
        if (expected !== undefined) expect(template.render(messages, options), `${name}: ${label}`).toBe(expected);
      };
      check(prompt);
      check(prompt_generation, { addGenerationPrompt: true });
      check(prompt_continue, { continueFinalMessage: true });
      if (raises === undefined) continue;
      expect(() => template.render(messages), `${name}: ${label}`).toThrow(DataError);
      expect(() => template.render(messages), `${name}: ${label}`).toThrow(raises);
    }
  }
});
