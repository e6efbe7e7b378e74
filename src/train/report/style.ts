/** The style of the report: one sheet, light and dark, no font to load. Stage colours after Okabe and Ito. */
export const style = `
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --ink: #1c1f24; --muted: #646a73; --rule: #dcdcd6; --grid: #ecece7; --panel: #f5f5f1;
  --s1: #0072b2; --s2: #d98e04; --s3: #c2629b; --s4: #009e73; --s5: #d55e00;
  --obeyed: #b3261e; --scheduled: #454b55; --shadow: #8a8f98; --better: #12733f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e6e6e1; --muted: #9aa0a8; --rule: #34383e; --grid: #26292e; --panel: #1d2024;
    --s1: #56b4e9; --s2: #f0b429; --s3: #dd8fbb; --s4: #34c79a; --s5: #f08a4b;
    --obeyed: #ff8a80; --scheduled: #c3c8d0; --shadow: #8b919b; --better: #7bd3a2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 48px 40px 80px; max-width: 1080px; background: var(--paper); color: var(--ink);
  font: 16px/1.55 Charter, 'Bitstream Charter', 'Sitka Text', Cambria, 'Noto Serif', 'DejaVu Serif', Georgia, serif;
}
h1 { margin: 0; font-size: 34px; line-height: 1.2; font-weight: 600; letter-spacing: -0.01em; }
h2 {
  margin: 56px 0 6px; padding-top: 14px; border-top: 1px solid var(--rule); font-size: 22px; line-height: 1.3;
  font-weight: 600;
}
h3 { margin: 26px 0 4px; font-size: 16px; font-weight: 600; }
p { margin: 6px 0 12px; max-width: 76ch; }
.subtitle { margin: 8px 0 0; color: var(--muted); font-size: 18px; }
.note, figcaption, .legend, table, svg text, .tiles, dl {
  font-family: Inter, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', Arial, sans-serif;
}
.note, figcaption { color: var(--muted); font-size: 13.5px; line-height: 1.5; max-width: 92ch; }
figcaption { margin: 2px 0 4px; }
strong { font-weight: 600; }

.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 1px; margin: 30px 0 0; padding: 1px;
  list-style: none;
}
.tiles li { padding: 14px 18px 13px; box-shadow: 0 0 0 1px var(--rule); }
.tiles span { display: block; color: var(--muted); font-size: 13px; line-height: 1.4; }
.tiles b {
  display: block; font-size: 27px; line-height: 1.3; font-weight: 500; letter-spacing: -0.01em;
  font-variant-numeric: tabular-nums;
}

figure { margin: 14px 0 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 11.5px; fill: var(--muted); font-variant-numeric: tabular-nums; }
svg text.end { text-anchor: end; }
svg text.middle { text-anchor: middle; }
svg text.italic { font-style: italic; }
svg text.strong { fill: var(--ink); font-weight: 600; font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
svg text.label { font-weight: 500; }
path { fill: none; stroke-linejoin: round; }
.grid { stroke: var(--grid); }
.axis, .tick { stroke: var(--muted); stroke-width: 0.8; }
.raw { stroke-width: 1; opacity: 0.28; }
.curve { stroke-width: 1.9; stroke-linecap: round; }
.ink { stroke: var(--ink); }
.s1 { --stage: var(--s1); } .s2 { --stage: var(--s2); } .s3 { --stage: var(--s3); } .s4 { --stage: var(--s4); } .s5 { --stage: var(--s5); }
.s1, .s2, .s3, .s4, .s5 { stroke: var(--stage); }
.lane { fill: var(--panel); }
.fill { fill: var(--stage); stroke: none; }
.marker { stroke-width: 1.2; stroke: var(--kind); }
svg text.obeyed, svg text.scheduled, svg text.shadow { fill: var(--kind); stroke: none; }
.obeyed { --kind: var(--obeyed); }
.scheduled { --kind: var(--scheduled); stroke-dasharray: 6 3; }
.shadow { --kind: var(--shadow); stroke-dasharray: 1.5 3; }

.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 10px 0 0; padding: 0; font-size: 13px; list-style: none; }
.legend li { display: flex; align-items: center; gap: 7px; }
.legend svg { width: 24px; height: 12px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 10px 36px; }

.faces { display: grid; grid-template-columns: 116px 1fr; gap: 7px 14px; align-items: center; margin-top: 14px; }
.faces div { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); gap: 7px; }
.faces img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; background: var(--panel); }
.faces .label { font: 500 13px/1.35 Inter, 'Segoe UI', 'Noto Sans', 'Liberation Sans', Arial, sans-serif; }
.faces .label small { display: block; color: var(--muted); font-size: 12px; font-weight: 400; }

.scroll { overflow-x: auto; }
table { margin: 12px 0 10px; border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 28px 6px 0; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--grid); }
th { color: var(--muted); font-size: 12.5px; font-weight: 500; border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr:last-child td { border-bottom: 1px solid var(--rule); }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; }
td small { white-space: nowrap; color: var(--muted); font-size: 12px; }
.better { color: var(--better); font-weight: 600; }
.muted, td.muted { color: var(--muted); }
.bar { display: inline-block; height: 9px; background: var(--ink); opacity: 0.75; }

dl { columns: 2; column-gap: 48px; margin: 12px 0; font-size: 13px; }
dl div {
  display: flex; justify-content: space-between; gap: 16px; padding: 3px 0; border-bottom: 1px solid var(--grid);
  break-inside: avoid;
}
dt { color: var(--muted); }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }

@media (max-width: 760px) {
  body { padding: 28px 18px 48px; }
  .pair { grid-template-columns: 1fr; }
  .wide { overflow-x: auto; }
  .wide svg { min-width: 720px; }
  .faces { grid-template-columns: 1fr; }
  dl { columns: 1; }
}
@media print {
  body { padding: 0; max-width: none; font-size: 11pt; }
  figure, table, .faces { break-inside: avoid; }
}
`;
