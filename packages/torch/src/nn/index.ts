export * from "./attention.js";
export * from "./layers.js";
export { buffer, creating, Module, parameter, type StateEntry } from "./module.js";
