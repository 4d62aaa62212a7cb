import { expect } from "vitest";
import { expectClose, goldenFamily } from "../testing/index.js";
import { AdamW } from "./adamw.js";
import { clipGradNorm } from "./clip.js";
import { cosineWithWarmup } from "./schedule.js";

interface Config {
  lr: number;
  betas: [number, number];
  eps: number;
  max_norm: number;
}

interface Schedule {
  lr: number;
  total_steps: number;
  warmup_ratio: number;
  warmup_steps: number;
  lr_of_step: number[];
  lr_after_the_last_step: number;
}

interface Sidecar {
  schedules: Schedule[];
  tolerance: { schedule: { rtol: number } };
}

goldenFamily<Config, Sidecar>("k_optimizer", (golden) => {
  const { config, sidecar } = golden;
  const tolerance = golden.tolerance.forward;
  const stepCount = new Set([...golden.under("in/grad/").keys()].map((key) => key.split("/")[0])).size;

  const variants = new Set([...golden.under("out/").keys()].map((key) => key.split("/")[0]!));
  for (const variant of variants) {
    const [, weightDecay, clipping] = /^wd(.+)_(noclip|clip.+)$/.exec(variant) ?? [];
    if (!weightDecay) continue; // norms and clipped gradients, compared on the way
    const parameters = new Map(
      [...golden.under("in/param/")].map(([name, values]) => [name, values.clone().setRequiresGrad(true)]),
    );
    using optimizer = new AdamW(parameters, {
      betas: config.betas,
      epsilon: config.eps,
      weightDecay: Number(weightDecay),
    });
    for (let step = 1; step <= stepCount; step++) {
      optimizer.zeroGrad();
      for (const [name, parameter] of parameters) parameter.grad = golden.tensor(`in/grad/step${step}/${name}`).clone();
      if (clipping !== "noclip") {
        const norm = clipGradNorm(parameters.values(), config.max_norm);
        const expected = golden.tensor(`out/grad_norm/step${step}`).item();
        expect(Math.abs(norm - expected)).toBeLessThanOrEqual(tolerance.atol + tolerance.rtol * expected);
        for (const [name, parameter] of parameters) {
          const clipped = golden.tensor(`out/clipped/step${step}/${name}`);
          expectClose(parameter.grad!, clipped, tolerance, `clipped gradient of ${name}, step ${step}`);
        }
      }
      optimizer.step(config.lr);
      for (const [name, parameter] of parameters) {
        const expected = golden.tensor(`out/${variant}/step${step}/${name}`);
        expectClose(parameter, expected, tolerance, `${variant}: ${name} after step ${step}`);
      }
    }
    const state = optimizer.stateDict();
    for (const [key, expected] of golden.under(`out/${variant}/state/`)) {
      expectClose(state.get(key.replace("/", "."))!, expected, tolerance, `${variant}: ${key}`);
    }
  }

  for (const schedule of sidecar.schedules) {
    const { lr: learningRate, total_steps: totalSteps } = schedule;
    const expected = [...schedule.lr_of_step, schedule.lr_after_the_last_step];
    for (const rate of [
      cosineWithWarmup({ learningRate, totalSteps, warmupRatio: schedule.warmup_ratio }),
      cosineWithWarmup({ learningRate, totalSteps, warmupSteps: schedule.warmup_steps }),
    ]) {
      for (const [step, value] of expected.entries()) {
        expect(Math.abs(rate(step) - value)).toBeLessThanOrEqual(sidecar.tolerance.schedule.rtol * Math.abs(value));
      }
    }
  }
});
