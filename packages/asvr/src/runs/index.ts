/**
 * The contract of a study's folder: schemas of what is written there and readers of it. It needs no libtorch, so a page
 * or a script that shows runs can use it alone.
 * @module
 */
export { type PartRecord, readPart } from "./part-record.js";
export * from "./run-folder.js";
