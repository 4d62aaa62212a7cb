/** The page's style sheet: system fonts, light or dark as the reader's system is set, one column on a phone. */
export const styleSheet = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1f2328; --muted: #5d646d; --line: #dfdcd4; --faint: #f1eee7; --shade: #1f232840;
  --baseline: #6b7280; --asvr: #0b6e75; --appearance: #b4540a; --other-1: #6d4aa8; --other-2: #a52a5e; --other-3: #45702a;
  --right: #1d6b39; --wrong: #ad2a20;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --card: #1c2024; --ink: #e7e5df; --muted: #a3a9b1; --line: #363c43; --faint: #23282d; --shade: #000000b0;
    --baseline: #a6adb8; --asvr: #4fc3c9; --appearance: #f0a15c; --other-1: #b9a0ec; --other-2: #f08bb4; --other-3: #9ccb7d;
    --right: #7fce98; --wrong: #f2938a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 3.5rem 1.25rem 5rem; }
h1, h2 { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "Liberation Serif", serif; font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.8rem, 5vw, 2.5rem); margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.45rem; margin: 3.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
h4 { font-size: .85rem; margin: 0 0 .4rem; font-weight: 600; }
p { margin: .5rem 0; max-width: 46rem; }
.muted, small { color: var(--muted); font-weight: 400; }
small { font-size: .8rem; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; overflow-wrap: anywhere; }
.lead { font-size: 1.2rem; line-height: 1.5; margin: 1.6rem 0 0; max-width: 44rem; }
.notice { border-left: 3px solid var(--appearance); background: var(--faint); border-radius: 0 6px 6px 0; padding: .7rem 1rem; margin: 1.5rem 0; font-size: .92rem; }
.notice ul { margin: .3rem 0 0; padding-left: 1.1rem; }
.scroll { --under: var(--paper); overflow-x: auto; margin: 1rem 0 .5rem; background: linear-gradient(to right, var(--under) 30%, transparent) left / 2.5rem 100% local, linear-gradient(to left, var(--under) 30%, transparent) right / 2.5rem 100% local, linear-gradient(to right, var(--shade), transparent) left / .9rem 100% scroll, linear-gradient(to left, var(--shade), transparent) right / .9rem 100% scroll; background-repeat: no-repeat; background-color: var(--under); }
.card .scroll { --under: var(--card); }
.contents { font-size: .92rem; } .contents ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: 1.4rem 0 0; padding: 0; }
a { color: var(--asvr); text-underline-offset: .2em; }
.scroll:focus-visible { outline: 2px solid var(--asvr); outline-offset: 3px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; line-height: 1.35; }
th, td { padding: .55rem .65rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: middle; white-space: nowrap; }
.note { font-size: .8rem; color: var(--muted); }
thead > tr:last-child > td { border-bottom: 1.5px solid var(--muted); }
thead th { white-space: normal; font-weight: 600; font-size: .8rem; color: var(--muted); vertical-align: bottom; border-bottom: 1.5px solid var(--muted); }
thead th.span { text-align: center; border-bottom: 1px solid var(--line); color: var(--ink); }
th:first-child, td:first-child, .text { text-align: left; }
tbody th { font-weight: 600; white-space: normal; min-width: 9.5rem; }
th small, .below { display: block; }
.below { white-space: normal; max-width: 11rem; margin-left: auto; }
tbody tr:last-child > * { border-bottom: 0; }
.dense th, .dense td { padding-inline: .45rem; } .dense tbody th { min-width: 8rem; }
.even th:not(:first-child) { width: 8rem; }
.edge { border-left: 1px solid var(--line); }
td.wrap { white-space: normal; text-align: left; min-width: 12rem; }
td b { font-weight: 650; }
.bar { display: block; width: 8.5rem; height: 14px; margin: .25rem 0 0 auto; overflow: visible; }
.bar .axis { stroke: var(--line); stroke-width: 1; } .bar .zero { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 2 2; }
.bar .reach { stroke-width: 3; stroke-linecap: round; opacity: .45; }
dl.findings { margin: 1rem 0; display: grid; grid-template-columns: 11rem 1fr; gap: .9rem 1.5rem; }
dl.findings dt { font-weight: 600; } dl.findings dd { margin: 0; max-width: 44rem; }
.grid { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); margin: 1rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem; margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-weight: 600; font-size: .92rem; margin-bottom: .6rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; margin: .8rem 0; padding: 0; font-size: .86rem; }
.legend svg { width: 26px; height: 8px; margin-right: .4rem; display: inline-block; vertical-align: middle; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; } .sides p { font-size: .86rem; margin: .4rem 0; }
.overlay { border-radius: 5px; overflow: hidden; } .overlay image, img { image-rendering: pixelated; }
.cells rect { fill: #05080c; shape-rendering: crispEdges; } .strongest { fill: none; stroke: #fff; stroke-width: .05; }
.layers { display: flex; gap: .35rem; flex-wrap: wrap; } .layers > div { width: 3.2rem; text-align: center; } .layers .overlay { border-radius: 3px; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
.samples { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); margin: 1rem 0; }
.sample { display: grid; grid-template-columns: 6rem 1fr; gap: 1rem; align-items: start; font-size: .9rem; }
.sample img, .none { width: 6rem; height: 6rem; border-radius: 5px; display: block; }
.none { background: var(--faint); color: var(--muted); font-size: .75rem; display: grid; place-items: center; text-align: center; }
.sample p { margin: 0 0 .35rem; } .sample ul { list-style: none; margin: 0; padding: 0; } .sample li { display: flex; justify-content: space-between; gap: .75rem; line-height: 1.3; padding: .22rem 0; border-top: 1px solid var(--line); } .sample li > :last-child { white-space: nowrap; } .sample .who { color: var(--muted); }
.pairs { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; } .pairs figure { margin: 0; display: flex; gap: 3px; }
.pairs img, .pairs .none { width: 5.5rem; height: 5.5rem; border-radius: 4px; }
.part { display: block; height: 8px; border-radius: 4px; background: var(--asvr); min-width: 2px; opacity: .8; }
td.spread { width: 40%; min-width: 7rem; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .85rem; color: var(--muted); }
@media (max-width: 40rem) {
  main { padding-top: 2rem; }
  dl.findings { grid-template-columns: 1fr; gap: .15rem; } dl.findings dd { margin-bottom: .9rem; }
  th, td { padding: .5rem .5rem; } tbody th { min-width: 7.5rem; }
  .scroll th:first-child { position: sticky; left: 0; background: var(--under); z-index: 1; }
  .bar { width: 7rem; }
}
@media print { main { max-width: none; padding: 0; } .card, tr { break-inside: avoid; } }
`;
