export {
  buildMicroWorld,
  type MicroProgress,
  type MicroWorldOptions,
} from "./build.js";
export { type Licence, MICRO_LICENCES } from "./licences.js";
export type { MicroManifest, QuestionTypeSummary } from "./manifest.js";
export type {
  CaptionRecord,
  EncoderRecord,
  QuestionRecord,
  RetellingRecord,
  TextQuestionRecord,
  Turn,
} from "./records.js";
export { DEFAULT_MICRO_SIZES, type MicroSizes } from "./sizes.js";
export { heldOutVendors, SPLIT_NAMES, type SplitName } from "./splits.js";
export * from "./things.js";
export { buildTokenizer, buildTokenizerConfig, SPECIAL_TOKENS } from "./tokenizer.js";
export * from "./world.js";
