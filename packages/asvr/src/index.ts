/**
 * Vision-language models that reconstruct the semantic codes of the picture they see: networks, data, training,
 * evaluation, recipes. The command `asvr` is made of these.
 * @module
 */
export * from "./analysis/attention.js";
export { type NearestOptions, type NearPicture, nearestPictures } from "./analysis/nearest-pictures.js";
export * from "./analysis/picture-attention.js";
export { type Surprise, surpriseOf } from "./analysis/surprise.js";
export {
  type AnswerAllOptions,
  answerAll,
  type ChatRequest,
  type GivenAnswer,
  question,
} from "./chat/answer-all.js";
export { ChatEngine, type ChatEngineOptions } from "./chat/chat-engine.js";
export {
  type ChatMessage,
  type ChatModel,
  type ChatPart,
  type ChatPrompt,
  embedPrompt,
} from "./chat/chat-model.js";
export { type AnswerEvent, type AskOptions, BusyError, type ChatService } from "./chat/chat-service.js";
export { type OpenOptions, openChatModel } from "./chat/open.js";
export type { Region, VisualGrid } from "./chat/visual-grid.js";
export { WorkerChat, type WorkerOptions } from "./chat/worker-chat.js";
export type { ConfigPlace } from "./checkpoints/config-place.js";
export { GgufFile, openGguf } from "./checkpoints/gguf/file.js";
export type { GgufEntry } from "./checkpoints/gguf/header.js";
export { loadGgufLanguageModel } from "./checkpoints/gguf/language-model.js";
export { tokenizerFromGguf } from "./checkpoints/gguf/tokenizer.js";
export type { GgmlType, GgufValue } from "./checkpoints/gguf/types.js";
export { type HubOptions, type HubProgress, resolveCheckpoint } from "./checkpoints/hub/resolve.js";
export { type Inspection, inspectCheckpoint } from "./checkpoints/inspect/inspect.js";
export type { Part } from "./checkpoints/inspect/parts.js";
export { loadLanguageModel } from "./checkpoints/language-model.js";
export { llamaConfig } from "./checkpoints/llama-config.js";
export { loadLlava, loadLlavaNext } from "./checkpoints/llava.js";
export { llavaConfig, llavaNextConfig } from "./checkpoints/llava-config.js";
export type { LoadOptions } from "./checkpoints/load-module.js";
export { loadOriginalLlava, type OriginalLlava, type OriginalOptions } from "./checkpoints/original-llava.js";
export { preprocessing, readPreprocessing } from "./checkpoints/preprocessor-config.js";
export type { TowerSizes } from "./checkpoints/tokenizer-weights.js";
export { type VisionConfigOptions, visionConfig } from "./checkpoints/vision-config.js";
export { loadVisionTower } from "./checkpoints/vision-tower.js";
export * from "./checkpoints/visual-tokenizer.js";
export { type DecodeOptions, decodeImage, type RgbImage } from "./data/images.js";
export { Sampler, type SamplerOptions } from "./data/loader.js";
export { type PackedBatch, type PackingOptions, packSamples } from "./data/packing.js";
export { loadPictures } from "./data/picture-set.js";
export { type Preprocessing, padToSquare, preprocess, siglipPreprocessing } from "./data/preprocess.js";
export { type LlavaRecord, loadRecords, type RecordOptions, type Records } from "./data/records.js";
export { type Resampling, type ResizeOptions, resize } from "./data/resize.js";
export { buildSamples, type ImageRef, type ImageTokenCount, type Sample, type SampleOptions } from "./data/samples.js";
export { tilesOf } from "./data/tiles.js";
export * from "./data/tiling.js";
export * from "./errors.js";
export { benchmarkNamed, benchmarks } from "./evaluation/benchmarks/all.js";
export type { Answer, Answerer, AnswerRequest } from "./evaluation/benchmarks/answerer.js";
export {
  type Answered,
  type Benchmark,
  defineBenchmark,
  type JudgedProtocol,
  type PromptStyle,
  type Protocol,
  userTurn,
} from "./evaluation/benchmarks/benchmark.js";
export { type FetchBenchmarkOptions, fetchBenchmark } from "./evaluation/benchmarks/data/fetch.js";
export {
  type BenchmarkQuestion,
  type Coverage,
  type LoadBenchmarkOptions,
  type LoadedBenchmark,
  loadBenchmark,
  missingFrom,
} from "./evaluation/benchmarks/data/load.js";
export { decodePicture, type Picture } from "./evaluation/benchmarks/data/table.js";
export { type EndpointOptions, endpointAnswerer } from "./evaluation/benchmarks/endpoint.js";
export { type JudgedPrediction, type JudgeOptions, judgePredictions } from "./evaluation/benchmarks/judge.js";
export { type LocalOptions, localAnswerer } from "./evaluation/benchmarks/local.js";
export { type BenchmarkPrediction, readPredictions } from "./evaluation/benchmarks/predictions.js";
export type { Average } from "./evaluation/benchmarks/resampling.js";
export {
  type RunOptions,
  type RunProgress,
  readRun,
  runBenchmark,
  type Shard,
  type StoredRun,
} from "./evaluation/benchmarks/run.js";
export { type BenchmarkScore, scoreAgainst, scoreAverage, scoreBenchmark } from "./evaluation/benchmarks/score.js";
export type { TestQuestion } from "./evaluation/questions.js";
export { type EvaluateOptions, evaluate } from "./evaluation/run.js";
export type { Interval } from "./evaluation/statistics.js";
export type { Tables } from "./evaluation/table.js";
export { exportGguf } from "./export/gguf.js";
export type { GgufFloat } from "./export/gguf-language.js";
export { type Exported, exportHuggingFace } from "./export/hf.js";
export { type ExportSource, hubSource } from "./export/source.js";
export type { Fault, FaultKind } from "./fault.js";
export { type BuiltInTemplate, builtInTemplates } from "./language/built-in-templates.js";
export * from "./language/chat-template.js";
export type { ChatFolderOptions } from "./language/chat-template-files.js";
export { type ConversationTemplate, templates } from "./language/conversation.js";
export type { BeamOptions } from "./language/decoding/beam-search.js";
export {
  Decoder,
  type DecoderOptions,
  type Decoding,
  type DecodingListener,
  type DecodingOptions,
  type EndReason,
} from "./language/decoding/decoder.js";
export type { SamplingOptions } from "./language/decoding/sampling.js";
export { type CacheShape, SequenceCache } from "./language/decoding/sequence-cache.js";
export * from "./language/llama.js";
export type { RopeScaling, RotaryAngles } from "./language/rotary.js";
export type { TextStream } from "./language/text-stream.js";
export {
  type SentencePieceConfig,
  TextTokenizer,
  type TokenizerConfig,
  type TokenizerJson,
} from "./language/tokenizer.js";
export * from "./layers/chunked-loss.js";
export type { Gelu } from "./layers/gelu.js";
export * from "./layers/gradient-sink.js";
export { Projector, type ProjectorOptions } from "./layers/projector.js";
export {
  buildMicroWorld,
  type MicroManifest,
  type MicroProgress,
  type MicroSizes,
  type MicroWorldOptions,
} from "./micro/index.js";
export * from "./model/build.js";
export { type GenerateOptions, generate } from "./model/generation.js";
export type { BatchTensors } from "./model/layout.js";
export * from "./model/llava.js";
export * from "./model/llava-next.js";
export * from "./model/lvlm.js";
export { VisualCache } from "./model/visual-cache.js";
export type { PartProgress } from "./parts/part.js";
export { type StageName, stageNames } from "./parts/prepare.js";
export { baselines, type Scale, scales } from "./recipes/baselines.js";
export {
  type PaperBenchmark,
  type PaperCompute,
  type PaperGroup,
  type PaperScores,
  paperBenchmarks,
  paperCompute,
  paperGroups,
  paperTables,
} from "./recipes/paper-tables.js";
export * from "./recipes/recipe.js";
export type { Row, Table } from "./recipes/table.js";
export * from "./recipes/tables.js";
export { writeReport } from "./report/report.js";
export type { PartRecord } from "./runs/part-record.js";
export type { Prediction, SeedResult } from "./runs/run-folder.js";
export type { StudyEvents } from "./studies/study.js";
export { type TrainRecipeOptions, trainRecipe } from "./studies/train-recipe.js";
export type { Trained, TrainedStage } from "./studies/trained-run.js";
export type { WholeProgress } from "./studies/whole.js";
export * from "./supervision/reconstruction.js";
export * from "./supervision/supervision.js";
export * from "./supervision/visual-head.js";
export { AppearanceBranch, type AppearanceBranchConfig } from "./tokenizers/appearance-branch.js";
export * from "./tokenizers/codebook.js";
export { ConvPixelDecoder, type ConvPixelDecoderConfig } from "./tokenizers/conv-pixel-decoder.js";
export * from "./tokenizers/dualtoken.js";
export * from "./tokenizers/dualtoken-loss.js";
export { TransformerPixelDecoder, type TransformerPixelDecoderConfig } from "./tokenizers/pixel-decoder.js";
export * from "./tokenizers/residual-quantizer.js";
export { SemanticBranch, type SemanticBranchConfig } from "./tokenizers/semantic-branch.js";
export { SiglipTokenizer, type SiglipTokenizerConfig } from "./tokenizers/siglip-tokenizer.js";
export { TextAlignedBranch, type TextAlignedBranchConfig } from "./tokenizers/text-aligned-branch.js";
export type { PictureObjective, VisualTokenizer } from "./tokenizers/visual-tokenizer.js";
export type { GroupSettings } from "./training/groups.js";
export type { LoggedMetrics } from "./training/metric-totals.js";
export type { CommonMetrics, LoggedStep } from "./training/metrics.js";
export { accumulateLosses, type Objective, type StepCounts, type StepLosses } from "./training/objective.js";
export type { ContrastiveMetrics } from "./training/objectives/encoder.js";
export type { CaptioningMetrics } from "./training/objectives/scenes.js";
export * from "./training/objectives/vision-language.js";
export { type Progress, type TrainOptions, train } from "./training/trainer.js";
export { heldOutLosses, type Validation } from "./training/validation.js";
export * from "./vision/clip.js";
export { clipVisionConfig, type HubClipVision } from "./vision/clip-hub.js";
export * from "./vision/depth-anything.js";
export * from "./vision/dinov2.js";
export { depthAnythingConfig, dinov2Config, type HubDepthAnything, type HubDinov2 } from "./vision/dinov2-hub.js";
export * from "./vision/dinov3.js";
export { dinov3Config, type HubDinov3 } from "./vision/dinov3-hub.js";
export * from "./vision/siglip.js";
export { SiglipEncoder, type SiglipEncoderConfig, SiglipMlp } from "./vision/siglip-encoder.js";
export * from "./vision/siglip-flex.js";
export * from "./vision/tower.js";
export * from "./vision/visual-features.js";
