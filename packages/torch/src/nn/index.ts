export * from "./attention.js";
export * from "./layers.js";
export { buffer, type CreationOptions, creating, Module, parameter, type StateEntry } from "./module.js";
