export type { WeightsFormat } from "./choose.js";
export { type OpenWeightsOptions, openWeights, type WeightEntry, Weights } from "./weights.js";
