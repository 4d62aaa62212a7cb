/**
 * Comparing tensors within a tolerance, and tests against golden files. Needs vitest.
 * @module
 */
export { expectClose, type Tolerance } from "./close.js";
export { type Family, families } from "./families.js";
export { type Golden, goldenFamily } from "./golden.js";
export { type GoldenFile, goldenFiles, goldenRoots } from "./golden-files.js";
