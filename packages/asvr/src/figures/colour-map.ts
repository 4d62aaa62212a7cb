export type Colour = readonly [red: number, green: number, blue: number];

/** Night blue over violet and orange to pale yellow: lighter is more, for every kind of colour vision and in grey. */
const anchors: readonly Colour[] = [
  [12, 14, 46],
  [74, 26, 110],
  [156, 44, 112],
  [226, 92, 68],
  [250, 168, 60],
  [254, 248, 190],
];

/** The colour of a share of the largest value; what lies outside 0 to 1 has the colour of the end. */
export function colourOf(share: number): Colour {
  const at = Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0)) * (anchors.length - 1);
  const index = Math.min(anchors.length - 2, Math.floor(at));
  const [low, high] = [anchors[index]!, anchors[index + 1]!];
  const mix = (channel: 0 | 1 | 2) => Math.round(low[channel] + (high[channel] - low[channel]) * (at - index));
  return [mix(0), mix(1), mix(2)];
}

/** How light a colour looks, 0 to 255 (Rec. 709). */
export function luminance([red, green, blue]: Colour): number {
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
