import type { Preprocessing } from "../data/preprocess.js";
import type { ConversationTemplate } from "../language/conversation.js";
import type { TextTokenizer, TokenizerConfig } from "../language/tokenizer.js";

/**
 * `preprocessor_config.json`: how transformers makes a picture the tower's input. Where a picture is set in a square
 * first, LLaVA's own image processor does it; SigLIP's stretches. The former has no name here: versions before 4.49 lack
 * it and take CLIP's by the model's type. That one pads nothing, and without a crop a picture that is no square becomes
 * an error there instead of a wrong answer.
 */
export function preprocessorConfig({ size, mode, mean, std }: Preprocessing): Record<string, unknown> {
  const isPadded = mode === "pad";
  return {
    ...(isPadded ? { do_pad: true, do_center_crop: false } : { image_processor_type: "SiglipImageProcessor" }),
    do_resize: true,
    size: isPadded ? { shortest_edge: size } : { height: size, width: size },
    resample: 3, // bicubic
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    do_convert_rgb: true,
    image_mean: mean,
    image_std: std,
  };
}

/**
 * `processor_config.json` of a tower without a class token. Versions up to 4.46 count one in any case, so that all count
 * one here, and drop it.
 */
export function processorConfig(patchSize: number): Record<string, unknown> {
  return {
    processor_class: "LlavaProcessor",
    patch_size: patchSize,
    vision_feature_select_strategy: "default",
    image_token: "<image>",
    num_additional_image_tokens: 1,
  };
}

/** `generation_config.json`: greedy, as the runs are scored. */
export function generationConfig({ bosId, eosId, padId }: TextTokenizer): Record<string, unknown> {
  return {
    ...(bosId !== undefined && { bos_token_id: bosId }),
    eos_token_id: eosId,
    pad_token_id: padId ?? eosId,
    do_sample: false,
  };
}

/**
 * `tokenizer_config.json` with the chat template, and what a processor looks for. A batch is padded on the left, since
 * every answer goes on from its prompt's end. Without `model_input_names` versions 4 add `token_type_ids`, which no LLaVA
 * takes.
 */
export function tokenizerConfig(config: TokenizerConfig, chatTemplate: string): Record<string, unknown> {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    pad_token: config.eos_token,
    ...config,
    processor_class: "LlavaProcessor",
    padding_side: "left",
    model_input_names: ["input_ids", "attention_mask"],
    image_token: "<image>",
    chat_template: chatTemplate,
  };
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
