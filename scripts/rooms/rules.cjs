/**
 * The order of the rooms of `packages/asvr/src`, as rules of dependency-cruiser. A room imports only rooms before it in
 * this list, types included. Files beside the rooms (errors.ts, random.ts, …) are the ground: they import no room.
 */
const rooms = [
  "runs", // what a run's folder holds: schemas and locks, free of libtorch
  "layers", // what networks share
  "vision",
  "tokenizers",
  "supervision",
  "language",
  "data",
  "recipes",
  "model",
  "micro",
  "training",
  "checkpoints",
  "parts", // what runs are made from: encoder, tokenizers, codes, prepared runs
  "chat", // one way to ask a model
  "evaluation",
  "analysis",
  "report",
  "figures",
  "studies", // plans of rows and seeds, and their processes
  "export",
  "serve",
  "cli",
];
const source = "^packages/asvr/src";
// A test may look at its subject from any floor.
const aside = "(\\.test|\\.golden|fixture)\\.ts$";

module.exports = {
  forbidden: [
    ...rooms.map((room, floor) => ({
      name: `${room}-imports-a-room-above`,
      severity: "error",
      from: { path: `${source}/${room}/`, pathNot: aside },
      to: { path: `${source}/(${["index\\.ts$", ...rooms.slice(floor + 1).map((above) => `${above}/`)].join("|")})` },
    })),
    {
      name: "ground-imports-a-room",
      severity: "error",
      from: { path: `${source}/[^/]+\\.ts$`, pathNot: `${aside}|${source}/index\\.ts$` },
      to: { path: `${source}/[^/]+/` },
    },
    {
      name: "room-without-a-floor",
      comment: "A new folder gets its place in the list above.",
      severity: "error",
      from: { path: `${source}/[^/]+/`, pathNot: `${source}/(${rooms.join("|")})/` },
      to: {},
    },
    {
      name: "runs-needs-libtorch",
      comment: "The contract is read by programs without a device; of @asvr/torch it may use the files alone.",
      severity: "error",
      from: { path: `${source}/runs/`, pathNot: aside },
      to: { path: "^packages/torch/src/(?!files\\.ts$)" },
    },
    {
      name: "engine-knows-the-system",
      severity: "error",
      from: { path: "^packages/torch/" },
      to: { path: "^packages/asvr/" },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["asvr-source", "import"] },
    exclude: { path: "/(dist|fixtures|goldens)/" },
    doNotFollow: { path: "node_modules" },
  },
};
