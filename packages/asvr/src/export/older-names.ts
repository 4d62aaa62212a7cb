import { isDeepStrictEqual } from "node:util";
import { withoutNulls } from "../checkpoints/config-place.js";

type Json = Readonly<Record<string, unknown>>;

/**
 * A LLaVA's config.json that transformers 4 reads as transformers 5 does. The latter renamed keys, and the former takes
 * defaults for what it doesn't find, without a word.
 * @returns the same object where nothing is to be added
 */
export function withOlderNames(config: Json): Json {
  const { text_config: text, dtype, torch_dtype: olderDtype = dtype, tie_word_embeddings: isTied } = config;
  const made: Json = {
    ...config,
    ...(olderDtype !== undefined && { torch_dtype: olderDtype }),
    // Of the whole in the newer versions, of the language model in the older.
    ...(isObject(text) && {
      text_config: withOlderRope({ ...text, ...(isTied === true && { tie_word_embeddings: true }) }),
    }),
  };
  return isDeepStrictEqual(made, config) ? config : made;
}

/** A number or a string of JSON. */
const token = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/**
 * `withOlderNames` of a file's text. Its numbers stay as they are written: transformers 5 refuses 1 where it wants 1.0,
 * which are one number here.
 */
export function olderNamesIn(text: string): string {
  const quoted = text.replace(token, (found) => (found.startsWith('"') ? found : `"\\u0000${found}"`));
  const config = JSON.parse(quoted) as Json;
  const made = withOlderNames(config);
  if (made === config) return text;
  return `${JSON.stringify(made, null, 2).replace(/"\\u0000([^"]+)"/g, "$1")}\n`;
}

/** `rope_parameters` said as `rope_theta` and `rope_scaling`, too. */
function withOlderRope(config: Json): Json {
  const { rope_parameters: parameters } = config;
  if (!isObject(parameters)) return config;
  const { rope_theta: theta, ...rest } = withoutNulls(parameters) as Json;
  const isScaled = (rest.rope_type ?? "default") !== "default";
  const older = { ...(theta !== undefined && { rope_theta: theta }), ...(isScaled && { rope_scaling: rest }) };
  return { ...config, ...older };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
