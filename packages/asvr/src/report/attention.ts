/**
 * Where the last token looks (the paper's Figures 3 and 4): the picture with a cell for every visual token, baseline
 * beside ASVR. Cells that get little attention are darkened; both sides share one scale, so their brightness compares.
 */

import type { AttentionSample } from "../runs/run-folder.js";
import { points } from "./format.js";
import { html, type Markup } from "./markup.js";

export interface AttentionSide {
  prediction: string;
  attention: number[];
  byLayer: number[][];
}

/** One question, seen by the baseline and by ASVR. */
export interface AttentionPair {
  image: string;
  question: string;
  answer: string;
  grid: [rows: number, columns: number];
  baseline: AttentionSide;
  asvr: AttentionSide;
}

/** The first `count` questions that both have a map for. */
export function pairAttention(
  baseline: readonly AttentionSample[],
  asvr: readonly AttentionSample[],
  count = 6,
): AttentionPair[] {
  const pairs = baseline.flatMap((first): AttentionPair[] => {
    const second = asvr.find((sample) => sample.id === first.id);
    if (!second || second.grid[0] !== first.grid[0] || second.grid[1] !== first.grid[1]) return [];
    const { image, question, answer, grid } = first;
    return [{ image, question, answer, grid, baseline: first, asvr: second }];
  });
  return pairs.slice(0, count);
}

export interface OverlayOptions {
  picture: string | undefined;
  grid: readonly [rows: number, columns: number];
  attention: readonly number[];
  /** The attention that leaves a cell undarkened. */
  brightest: number;
  /** Width of the whole by its height; by default cells are squares. */
  aspect?: number;
  /** Alternative text: who looks at what. */
  label: string;
}

/** An SVG with one unit a cell: the picture, pixelated, and over it one dark, more or less transparent cell a token. */
export function overlay({
  picture,
  grid: [rows, columns],
  attention,
  brightest,
  label,
  aspect,
}: OverlayOptions): Markup {
  const cells = attention.map((value, index) => {
    const darkness = brightest > 0 ? 0.82 * (1 - Math.min(1, value / brightest)) : 0;
    const [row, column] = [Math.floor(index / columns), index % columns];
    return html`<rect x="${column}" y="${row}" width="1" height="1" fill-opacity="${darkness.toFixed(3)}"/>`;
  });
  const strongest = attention.indexOf(Math.max(...attention));
  const mark = html`<rect class="strongest" x="${(strongest % columns) + 0.03}" y="${Math.floor(strongest / columns) + 0.03}" width=".94" height=".94"/>`;
  const stretch = aspect !== undefined && Math.abs(aspect * rows - columns) > 1e-6;
  const shape = stretch && html` preserveAspectRatio="none" style="aspect-ratio:${aspect.toFixed(4)}"`;
  return html`<svg class="overlay" viewBox="0 0 ${columns} ${rows}"${shape} role="img" aria-label="${label}">${
    picture !== undefined &&
    html`<image href="${picture}" width="${columns}" height="${rows}" preserveAspectRatio="none"/>`
  }<g class="cells">${cells}</g>${mark}</svg>`;
}

/** The pair as a figure: two overlays, the answers, and the share of attention that goes to the picture at all. */
export function attentionFigure(pair: AttentionPair, picture: string | undefined): Markup {
  const { question, answer, grid } = pair;
  const brightest = Math.max(...pair.baseline.attention, ...pair.asvr.attention);
  const side = (name: string, { prediction, attention, byLayer }: AttentionSide) => {
    const label = `Attention of ${name} over the picture for "${question}"; strongest at ${placeOf(attention, grid)}`;
    const total = attention.reduce((sum, value) => sum + value, 0);
    return html`<div>
<h4>${name}</h4>${overlay({ picture, grid, attention, brightest, label })}
<p><b class="${prediction === answer ? "right" : "wrong"}">${prediction === answer ? "✓" : "✗"} ${prediction}</b><br>${points(100 * total)}% of attention on the picture</p>
${
  byLayer.length > 1 &&
  html`<div class="layers">${byLayer.map((values, layer) => {
    const strongest = Math.max(...values);
    return html`<div>${overlay({ picture, grid, attention: values, brightest: strongest, label: `${name}, layer ${layer + 1}: strongest at ${placeOf(values, grid)}` })}<small>${layer + 1}</small></div>`;
  })}</div>`
}</div>`;
  };
  return html`<figure class="card attention"><figcaption>${question} <span class="muted">Answer: ${answer}</span></figcaption>
<div class="sides">${side("Baseline", pair.baseline)}${side("ASVR", pair.asvr)}</div></figure>`;
}

function placeOf(attention: readonly number[], [, columns]: readonly [number, number]): string {
  const strongest = attention.indexOf(Math.max(...attention));
  return `row ${Math.floor(strongest / columns) + 1}, column ${(strongest % columns) + 1}`;
}
