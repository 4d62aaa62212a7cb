import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { ConfigError, DataError } from "../errors.js";
import { ChatTemplate, type TemplateMessage } from "./chat-template.js";
import { renderConversation, v1 } from "./conversation.js";

const user = (content: TemplateMessage["content"]): TemplateMessage => ({ role: "user", content });
const assistant = (content: TemplateMessage["content"]): TemplateMessage => ({ role: "assistant", content });
const system = (content: string): TemplateMessage => ({ role: "system", content });
const chat = [user("Hi"), assistant("Hello."), user("Bye")];
const generation = { addGenerationPrompt: true };

describe("built-in templates", () => {
  test("vicuna writes what the conversation template v1 trains on", () => {
    const turn = fc.string().map((text) => text.replaceAll("<image>", ""));
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 5 }), (texts) => {
        fc.pre(texts.every((text) => text !== "")); // v1 leaves the question of an empty answer open
        const spans = renderConversation(
          v1,
          texts.map((value, index) => ({ from: index % 2 === 0 ? "human" : "gpt", value })),
        );
        const trained = spans.map((span) => (span.kind === "text" ? span.text : "")).join("");
        const messages = texts.map((text, index) => (index % 2 === 0 ? user(text) : assistant(text)));
        const options = { addGenerationPrompt: messages.at(-1)?.role === "user" };
        expect(ChatTemplate.builtIn("vicuna").render(messages, options)).toBe(trained);
      }),
    );
  });

  test("vicuna takes another system message", () => {
    const prompt = ChatTemplate.builtIn("vicuna").render([system("Be brief."), user("Hi")], generation);
    expect(prompt).toBe("Be brief. USER: Hi ASSISTANT:");
  });

  test("mistral puts the system message into the first question", () => {
    const mistral = ChatTemplate.builtIn("mistral");
    expect(mistral.render(chat)).toBe("<s> [INST] Hi [/INST] Hello.</s> [INST] Bye [/INST]");
    expect(mistral.render([system("Be brief."), ...chat.slice(0, 1)])).toBe("<s> [INST] Be brief.\n\nHi [/INST]");
  });

  test("chatml names the roles, plain does not", () => {
    expect(ChatTemplate.builtIn("chatml").render([system("Be."), user("Hi")], generation)).toBe(
      "<|im_start|>system\nBe.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
    expect(ChatTemplate.builtIn("plain").render([user([{ type: "image" }]), assistant("A cat.")])).toBe(
      "<image>\nA cat.\n",
    );
  });

  test.each(["vicuna", "mistral"] as const)("%s refuses what its model never saw", (name) => {
    for (const messages of [[assistant("a")], [user("a"), user("b")], [user("a"), { role: "tool", content: "b" }]]) {
      expect(() => ChatTemplate.builtIn(name).render(messages)).toThrow(DataError);
      expect(() => ChatTemplate.builtIn(name).render(messages)).toThrow("user and assistant must alternate");
    }
  });
});

describe("content", () => {
  const parts = [{ type: "text", text: "What" }, { type: "image" }, { type: "text", text: "is it?" }] as const;

  test("parts become text for a template that takes text", () => {
    const template = new ChatTemplate("{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}");
    expect(template.render([user(parts)])).toBe("user: <image>\nWhat\nis it?");
  });

  const loop = "{% for p in c %}{{ '<image>' if p.type == 'image' else p.text }}{% endfor %}";
  test.each([
    ["a member", `{% for m in messages %}${loop.replace("in c", "in m.content")}{% endfor %}`],
    ["a key", `{% for m in messages %}${loop.replace("in c", "in m['content']")}{% endfor %}`],
    ["a variable", `{% for m in messages %}{% set c = m.content %}${loop}{% endfor %}`],
    ["a filter", `{% for m in messages %}${loop.replace("in c", "in m.content | reverse | reverse")}{% endfor %}`],
    ["a condition", `{% for m in messages %}${loop.replace("in c", "in m.content if p.type")}{% endfor %}`],
    [
      "a macro",
      `{% macro say(content) %}${loop.replace("in c", "in content")}{% endmacro %}{{ say(messages[0].content) }}`,
    ],
  ])("parts and text reach a template that loops over %s", (_, source) => {
    const template = new ChatTemplate(source);
    expect(template.render([user(parts)])).toBe("What<image>is it?");
    expect(template.render([user("Hi")])).toBe("Hi");
  });

  test("text stays text for a template that takes both", () => {
    const template = new ChatTemplate(
      `{% for m in messages %}{% if m.content is string %}text {{ m.content }}{% else %}${loop.replace("in c", "in m.content")}{% endif %}{% endfor %}`,
    );
    expect(template.render([user("Hi")])).toBe("text Hi");
    expect(template.render([user(parts)])).toBe("What<image>is it?");
  });
});

describe("rendering", () => {
  test("goes on with the last message, whatever the template strips", () => {
    const template = new ChatTemplate("{% for m in messages %}[{{ m.content.strip() }}]{% endfor %}");
    expect(template.render([user("a"), assistant("b c  ")], { continueFinalMessage: true })).toBe("[a][b c");
    const silent = new ChatTemplate("{{ messages[0].content }}");
    expect(() => silent.render(chat, { continueFinalMessage: true })).toThrow("leaves out what the last message says");
    expect(() => silent.render([], { continueFinalMessage: true })).toThrow("no text to go on with");
    expect(() => silent.render(chat, { ...generation, continueFinalMessage: true })).toThrow(ConfigError);
  });

  test("goes on with the last text among parts", () => {
    const template = new ChatTemplate("{% for p in messages[0].content %}{{ p.text }},{% endfor %}");
    const content = [{ type: "text", text: "a" }, { type: "text", text: "b" }, { type: "image" }] as const;
    expect(template.render([user(content)], { continueFinalMessage: true })).toBe("a,b");
  });

  test("gives the template the variables and functions that transformers gives", () => {
    const render = (source: string, options = {}) => new ChatTemplate(source, { bos_token: "<s>" }).render([], options);
    expect(render("{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ documents is none }}")).toBe("<s>truetrue");
    expect(render("{{ depth }}", { variables: { depth: 3 } })).toBe("3");
    expect(render("{{ range(3) | join }} {{ range(1, 8, 3) | join }} {{ range(2, 0, -1) | join }}")).toBe("012 147 21");
    const now = new Date(2026, 0, 4, 15, 7, 9);
    expect(render("{{ strftime_now('%d %b %Y, %A %I:%M:%S %p %% %Q') }}", { now })).toBe(
      "04 Jan 2026, Sunday 03:07:09 PM % %Q",
    );
  });

  test.each([
    ["'' == false", false],
    ["0 == false", true],
    ["1 == '1'", false],
    ["[1, 'a'] == [1, 'a']", true],
    ["[1] == [1, 2]", false],
    ["{'a': [1]} == {'a': [1]}", true],
    ["none != false", true],
  ])("compares as Python does: %s", (expression, expected) => {
    expect(new ChatTemplate(`{{ ${expression} }}`).render([])).toBe(String(expected));
  });

  test("keeps apart a refusal, a failure and a template that cannot be read", () => {
    const refusing = new ChatTemplate("{{ raise_exception('Only cats!') }}");
    expect(() => refusing.render(chat)).toThrow(new DataError("chat template: it refuses these messages: Only cats!"));
    const failing = new ChatTemplate("{{ messages[0].name + 'a' }}{{ messages | nonsense }}");
    expect(() => failing.render(chat)).toThrow(ConfigError);
    expect(() => failing.render(chat)).toThrow("cannot be rendered");
    expect(() => new ChatTemplate("{% for %}")).toThrow(ConfigError);
  });
});

/** Each would run for years, fill the memory or end the process. */
/** What is four times as long after each of so many steps. */
const doubled = (start: string, steps = 14) => `{% set l = ${start} %}${"{% set l = l + l + l + l %}".repeat(steps)}`;

test.each([
  ["loops in loops", `${"{% for i in range(1000) %}".repeat(6)}x${"{% endfor %}".repeat(6)}`],
  ["a long range", "{{ range(1000000000000) | length }}"],
  [
    "a text that doubles",
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
  ],
  [
    "a list that doubles",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
  ],
  [
    "a tree that doubles when written",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
  ],
  ["a range of a text", `{% set _ = range('a') %}${doubled("[1, 2, 3, 4, 5, 6, 7, 8]")}`],
  ["a range of half numbers", `{% set _ = range(0.5, 2.5) %}${doubled("[1]")}`],
  ["a range of no number", `{% set _ = range(('1e999' | float) - ('1e999' | float)) %}${doubled("[1]")}`],
  ["a wide indent", "{{ 'a' | indent(width=400000000, first=true) }}"],
  ["a wide indent of a block", "{% filter indent(400000000, true) %}a{% endfilter %}"],
  ["wide JSON", "{{ [1] | tojson(indent=400000000) }}"],
  ["a replacement that multiplies", `${doubled("'aaaaaaaa'", 8)}{{ l.replace('a', l) | length }}`],
  ["a filter that multiplies", `${doubled("'aaaaaaaa'", 8)}{{ l | replace('a', l) | length }}`],
  ["a joint that multiplies", `${doubled("'aaaaaaaa'", 8)}{{ range(100000) | list | join(l) | length }}`],
  ["a tree that doubles when said", `{% set l = [1] %}${"{% set l = [l, l] %}".repeat(30)}{{ 'a' ~ l }}`],
  ["a list of one long text", `${doubled("'aaaaaaaa'", 8)}${doubled("[l]", 8)}{{ l | join | length }}`],
  ["a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
  ["deep brackets", `{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`],
  ["much output", "{% for i in range(100000) %}{{ 'x' | center(1000) }}{% endfor %}"],
])("a hostile template ends in an error: %s", (_, source) => {
  const before = process.memoryUsage().rss;
  expect(() => new ChatTemplate(source).render(chat)).toThrow(ConfigError);
  expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 28);
});

test("filters that widen a text give what they gave", () => {
  const source =
    "{{ 'a\nb' | indent(2, first=true) }} {{ [1, {'b': 2}] | tojson(indent=1) }} {{ ['x', 'y'] | join(', ') }} " +
    "{{ 'aXbX'.replace('X', '--') }} {{ 'aXbX' | replace('X', '', count=1) }}{% filter indent(1, true) %}z{% endfilter %}" +
    "{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}";
  const expected = '  a\n  b [\n 1,\n {\n  "b": 2\n }\n] x, y a--b-- abX z531';
  expect(new ChatTemplate(source).render(chat)).toBe(expected);
});

describe("a checkpoint's folder", () => {
  const root = mkdtempSync(join(tmpdir(), "asvr-chat-template-"));
  afterAll(() => rmSync(root, { recursive: true }));
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(root, "folder-"));
  });
  const write = (name: string, content: unknown) =>
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  const render = (options = {}) => ChatTemplate.fromFolder(folder, options).render([]);

  test("the template written for pictures comes before the tokenizer's", () => {
    write("tokenizer_config.json", { chat_template: "tokenizer {{ bos_token }}", bos_token: { content: "<b>" } });
    expect(render()).toBe("tokenizer <b>");
    write("processor_config.json", { chat_template: "processor" });
    expect(render()).toBe("processor");
    write("chat_template.json", { chat_template: "json {{ eos_token }}" });
    write("special_tokens_map.json", { eos_token: "<e>" });
    expect(render()).toBe("json <e>");
    write("chat_template.jinja", "jinja");
    expect(render()).toBe("jinja");
    mkdirSync(join(folder, "additional_chat_templates"));
    write("additional_chat_templates/rag.jinja", "rag");
    expect(render({ name: "rag" })).toBe("rag");
  });

  test("one of several by name", () => {
    write("tokenizer_config.json", {
      chat_template: [
        { name: "default", template: "a" },
        { name: "tool_use", template: "b" },
      ],
    });
    expect(render()).toBe("a");
    expect(render({ name: "tool_use" })).toBe("b");
    expect(() => render({ name: "rag" })).toThrow("has none named rag. It has: default, tool_use.");
    write("chat_template.json", { chat_template: { default: "c" } });
    expect(render()).toBe("c");
  });

  test("a fallback where there is none", () => {
    expect(() => render()).toThrow(`${folder} has none`);
    expect(() => render()).toThrow("vicuna, mistral, chatml, plain");
    write("tokenizer_config.json", { eos_token: "<end>" });
    expect(ChatTemplate.fromFolder(folder, { fallback: "mistral" }).render(chat)).toBe(
      "<s> [INST] Hi [/INST] Hello.<end> [INST] Bye [/INST]",
    );
  });

  test("says which file is broken", () => {
    write("tokenizer_config.json", { chat_template: "{% if %}" });
    expect(() => render()).toThrow(`It stands in ${join(folder, "tokenizer_config.json")}`);
    write("chat_template.json", { chat_template: [{ name: "default" }] });
    expect(() => render()).toThrow("neither a template nor a list");
    write("chat_template.json", "{");
    expect(() => render()).toThrow("is no JSON");
    write("chat_template.json", "[1]");
    expect(() => render()).toThrow("holds no JSON object");
  });
});
