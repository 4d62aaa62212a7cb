export const SEED_DIMENSIONS = [
  "Scene Understanding",
  "Instance Identity",
  "Instance Attribute",
  "Instance Location",
  "Instance Counting",
  "Spatial Relation",
  "Instance Interaction",
  "Visual Reasoning",
  "Text Recognition",
] as const;
