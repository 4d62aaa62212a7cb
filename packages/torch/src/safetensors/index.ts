export { readSafetensors, readSafetensorsHeader, type Safetensors } from "./read.js";
export { writeSafetensors } from "./write.js";
