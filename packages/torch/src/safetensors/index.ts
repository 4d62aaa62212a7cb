export type { SafetensorsEntry } from "./header.js";
export { readSafetensors, readSafetensorsHeader, type Safetensors, type SafetensorsHeader } from "./read.js";
export { writeSafetensors } from "./write.js";
