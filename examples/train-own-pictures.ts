// Trains ASVR on pictures and questions of your own, from the parts of a study such as the demo's.
//
//   node examples/dist/train-own-pictures.js STUDY RECORDS PICTURES OUT [STEPS]
//
// STUDY is the folder of a finished study (npm run demo makes runs/demo), RECORDS a file in LLaVA's format, PICTURES the
// folder that its pictures lie in, and OUT the run's folder. The same call goes on where it stopped, also after Ctrl-C.
import { DataError, derive, recipeNamed, trainRecipe } from "asvr";

const [study, tuning, images, out, steps = "400"] = process.argv.slice(2);
if (!study || !tuning || !images || !out) {
  process.stderr.write("usage: node train-own-pictures.js STUDY RECORDS PICTURES OUT [STEPS]\n");
  process.exit(2);
}

// A recipe is a value; another experiment is its difference. Write "micro/llava" for the baseline on the same data.
const recipe = derive(recipeNamed("micro/asvr", "micro"), {
  startFrom: study,
  data: { tuning, images },
  stages: { pretraining: { steps: Number(steps) / 4 }, tuning: { steps: Number(steps) } },
});

const stop = new AbortController();
process.once("SIGINT", () => stop.abort()); // saves first

try {
  const { run, stages, files } = await trainRecipe(recipe, {
    out,
    signal: stop.signal,
    onStart: (part) => process.stdout.write(`${part}\n`),
    onProgress: (_, { phase, done, total, loss }) => {
      if (loss !== undefined && done % 50 === 0)
        process.stdout.write(`${phase} ${done}/${total}: ${loss.toFixed(3)}\n`);
    },
  });
  const { firstLoss, loss, records, pictures } = stages.tuning!;
  process.stdout.write(
    `${records} records, ${pictures} pictures: loss ${firstLoss.toFixed(3)} to ${loss.toFixed(3)}\n`,
  );
  process.stdout.write(`${files.checkpoint}\nask it: npx asvr chat ${run} --image PICTURE --prompt QUESTION\n`);
} catch (error) {
  if (!(error instanceof DataError)) throw error;
  // Every faulty record, with file, index, field and reason.
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
