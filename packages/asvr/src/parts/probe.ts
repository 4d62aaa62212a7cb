import { call, F, noGrad, type Tensor, tensor, tidy } from "@asvr/torch";

/** Share of the examples that a probe is fitted to; the rest is asked about. */
const FITTED = 0.8;
/** Added to the diagonal, as a share of the mean variance: inputs are many and alike. */
const RIDGE = 1e-2;

/**
 * How much of a label can be read from vectors by a linear map: ridge regression to one-hot labels, fitted to the first
 * four fifths, its share of right answers on the last fifth. The examples should come in random order.
 * @param inputs (examples, dim)
 * @param labels in [0, classes)
 */
export function linearProbe(inputs: Tensor, labels: Int32Array, classes: number): number {
  return noGrad(() =>
    tidy(() => {
      const fitted = Math.floor(inputs.size(0) * FITTED);
      const wide = inputs.to("float64");
      const known = wide.narrow(0, 0, fitted);
      const centre = known.mean(0, true);
      const spread = known.std([0], 0, true).clampMin(1e-6);
      const x = wide.sub(centre).div(spread); // (examples, dim)
      const all = tensor(labels).to({ dtype: "int64", device: inputs.device });
      const targets = F.eye(classes, "float64", inputs.device).indexSelect(0, all.narrow(0, 0, fitted));
      const shares = targets.mean(0, true);
      const rows = x.narrow(0, 0, fitted);
      const gram = rows.t().mm(rows).div(fitted);
      const ridge = F.eye(x.size(1), "float64", x.device).mul(RIDGE);
      const weights = call(
        "aten::linalg_solve",
        gram.add(ridge),
        rows.t().mm(targets.sub(shares)).div(fitted),
      ) as Tensor;
      const asked = x.narrow(0, fitted, x.size(0) - fitted);
      const answers = asked.mm(weights).add(shares).argmax(1);
      return answers
        .eq(all.narrow(0, fitted, asked.size(0)))
        .to("float32")
        .mean()
        .item();
    }),
  );
}

/** What always giving the commonest label of the first four fifths scores on the last. */
export function majority(labels: Int32Array): number {
  const fitted = Math.floor(labels.length * FITTED);
  const counts = new Map<number, number>();
  for (const label of labels.subarray(0, fitted)) counts.set(label, (counts.get(label) ?? 0) + 1);
  const [commonest] = [...counts].reduce((best, one) => (one[1] > best[1] ? one : best));
  const asked = labels.subarray(fitted);
  return asked.filter((label) => label === commonest).length / asked.length;
}
