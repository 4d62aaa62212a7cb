import type { Preprocessing } from "../../data/preprocess.js";
import type { ConversationTemplate } from "../../language/conversation.js";
import type { TextTokenizer, TokenizerConfig } from "../../language/tokenizer.js";

/**
 * `preprocessor_config.json`: how transformers makes a picture the tower's input. Where a picture is set in a square
 * first, LLaVA's own image processor does it; SigLIP's stretches.
 */
export function preprocessorConfig({ size, mode, mean, std }: Preprocessing): Record<string, unknown> {
  const square = { height: size, width: size };
  const isPadded = mode === "pad";
  return {
    image_processor_type: isPadded ? "LlavaImageProcessor" : "SiglipImageProcessor",
    ...(isPadded && { do_pad: true, do_center_crop: true, crop_size: square }),
    do_resize: true,
    size: isPadded ? { shortest_edge: size } : square,
    resample: 3, // bicubic
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    do_convert_rgb: true,
    image_mean: mean,
    image_std: std,
  };
}

/** `processor_config.json` of a tower without a class token. */
export function processorConfig(patchSize: number): Record<string, unknown> {
  return {
    processor_class: "LlavaProcessor",
    patch_size: patchSize,
    vision_feature_select_strategy: "full",
    image_token: "<image>",
    num_additional_image_tokens: 0,
  };
}

/** `generation_config.json`: greedy, as the runs are scored. */
export function generationConfig({ bosId, eosId, padId }: TextTokenizer): Record<string, unknown> {
  return {
    ...(bosId !== undefined && { bos_token_id: bosId }),
    eos_token_id: eosId,
    ...(padId !== undefined && { pad_token_id: padId }),
    do_sample: false,
  };
}

/** `tokenizer_config.json` with the chat template, and what a processor looks for. */
export function tokenizerConfig(config: TokenizerConfig, chatTemplate: string): Record<string, unknown> {
  return { ...config, processor_class: "LlavaProcessor", image_token: "<image>", chat_template: chatTemplate };
}

/**
 * A conversation template as the Jinja that transformers runs: messages with the roles user and assistant, whose content
 * is text or a list of `{type: "image"}` and `{type: "text", text}`.
 */
export function chatTemplate(template: ConversationTemplate): string {
  const mark = "\u0000";
  const literal = (text: string) => JSON.stringify(text);
  const say = (text: string) => (text === "" ? "" : `{{ ${literal(text)} }}`);
  /** What a template makes of a text, with that text given in Jinja. */
  const around = (made: string, text: string) => made.split(mark).map(say).join(`{{ ${text} }}`);
  const eachImage = (body: string) =>
    "{% if message['content'] is not string %}{% for part in message['content'] %}" +
    `{% if part['type'] == 'image' %}${body}{% endif %}{% endfor %}{% endif %}`;
  const text =
    "{% if message['content'] is string %}{% set text = message['content'] %}{% else %}" +
    "{% set text = message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join('\\n') %}" +
    "{% endif %}";
  const first = template.image === "first";
  const question = around(template.question(mark), first ? "text" : "images.made ~ text");
  return [
    say(template.system),
    "{% for message in messages %}",
    text,
    first
      ? ""
      : `{% set images = namespace(made='') %}${eachImage("{% set images.made = images.made ~ '<image>\\n' %}")}`,
    `{% if message['role'] == 'user' %}${first ? eachImage("<image>") : ""}${question}`,
    `{% elif message['role'] == 'assistant' %}${around(template.answer(mark), "text")}`,
    "{% else %}{{ raise_exception('the roles are user and assistant') }}{% endif %}",
    "{% endfor %}",
  ].join("");
}
