import { v1 } from "./conversation.js";

/** Vicuna 1.1 and later, as LLaVA 1.5 is asked: the prompt of the conversation template `v1`. */
const vicuna = `
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] + ' ' %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set system = ${JSON.stringify(v1.system)} %}
    {%- set turns = messages %}
{%- endif %}
{{- system }}
{%- for message in turns %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) or message['role'] not in ['user', 'assistant'] %}
        {{- raise_exception('After an optional system message, user and assistant must alternate.') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- 'USER: ' + message['content'] + ' ' }}
    {%- else %}
        {{- 'ASSISTANT: ' + message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- 'ASSISTANT:' }}
{%- endif %}`;

/** Mistral instruct as its later revisions have it: the system message stands in the first question. */
const mistral = `
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] + '\\n\\n' %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set system = '' %}
    {%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in turns %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) or message['role'] not in ['user', 'assistant'] %}
        {{- raise_exception('After an optional system message, user and assistant must alternate.') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- ' [INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}`;

/** ChatML without a system prompt of its own: Qwen and many others. */
const chatml = `
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}`;

/** No roles: what is said, one after another, a line feed after each answer. For models that only saw captions. */
const plain = `
{%- for message in messages %}
    {{- message['content'] }}
    {%- if message['role'] == 'assistant' %}
        {{- '\\n' }}
    {%- endif %}
{%- endfor %}`;

/** Chat templates for checkpoints that have none of their own. */
export const builtInTemplates = { vicuna, mistral, chatml, plain } as const;

export type BuiltInTemplate = keyof typeof builtInTemplates;
