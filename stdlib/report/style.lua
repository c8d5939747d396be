--- The style sheet of a report: one column of calm text, figures as wide as the column, light and dark, phone and
--- paper. Fonts are those of the reader's machine. Charts are drawn on white; in the dark they are turned over in
--- lightness and keep their hues.
return [[
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #ffffff; --ink: #1c2024; --soft: #565e67; --line: #deded8; --tint: #f3f3ee;
  --link: #0b5394; --good: #00664a; --bad: #a03d00; --open: #565e67;
  --good-tint: #e4f3ec; --bad-tint: #fbeadf; --open-tint: #eeeeea;
  --warn: #7a5c00; --warn-tint: #f8f0cf; --mark: #0072b2; --band: #e4e4dd;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Source Serif 4", "Sitka Text", Cambria, Georgia,
    "Liberation Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1a1d22; --ink: #e6e6e1; --soft: #a4abb4; --line: #31363d; --tint: #1d2126;
    --link: #86bdf0; --good: #6fcfa8; --bad: #f0a070; --open: #b4bac2;
    --good-tint: #14302a; --bad-tint: #38241a; --open-tint: #262a30;
    --warn: #e3c55c; --warn-tint: #332c12; --mark: #63b3ea; --band: #2c3138;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 var(--serif); font-kerning: normal; overflow-wrap: break-word;
}
body::before { content: ""; display: block; height: 5px; background: linear-gradient(90deg, var(--ink), var(--paper)); }
.page { max-width: 60rem; margin: 0 auto; padding: 2.2rem 1.25rem 4rem; }
h1, h2, h3, h4 { line-height: 1.25; text-wrap: balance; font-weight: 650; }
h1 { font-size: 2.1rem; margin: .15em 0 .35em; letter-spacing: -.01em; }
h2 { font-size: 1.4rem; margin: 2.6rem 0 .7rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, ul, ol, dl { margin: 0 0 .9rem; }
p, li { max-width: 42rem; }
ul, ol { padding-left: 1.2rem; }
li { margin-bottom: .35rem; }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; border-radius: 2px; }
code, pre, .mono { font-family: var(--mono); font-size: .84em; }
.kicker, .meta, nav, figcaption, .note, th, td, .claims, .key, summary, dl.facts, .notices {
  font-family: var(--sans);
}
.kicker { font-size: .78rem; letter-spacing: .09em; text-transform: uppercase; color: var(--soft); margin: 0; }
.lead { font-size: 1.13rem; color: var(--ink); }
.meta { font-size: .86rem; color: var(--soft); }
.note { font-size: .86rem; line-height: 1.5; color: var(--soft); }
.verdict-line { font-size: 1.18rem; margin-bottom: 1.1rem; }
nav { font-size: .9rem; margin: 1.4rem 0 0; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0; padding: 0; }
nav li { margin: 0; }
nav a { display: inline-block; padding: .3rem 0; }

.notices { margin: 1.8rem 0 0; padding: .9rem 1.1rem; background: var(--bad-tint); border-left: 4px solid var(--bad);
  font-size: .92rem; line-height: 1.5; }
.notices h2 { font-size: .98rem; margin: 0 0 .35rem; padding: 0; border: 0; }
.notices ul { margin: 0; }

.claims { list-style: none; margin: 0 0 1rem; padding: 0; border-top: 1px solid var(--line); }
.claims > li { display: grid; grid-template-columns: 8.2rem minmax(0, 1fr) minmax(0, 19rem); gap: .2rem 1.1rem;
  max-width: none; margin: 0; padding: .95rem 0; border-bottom: 1px solid var(--line); align-items: start; }
.claims .what { font-weight: 600; line-height: 1.35; }
.claims .figures { font-size: .86rem; line-height: 1.5; color: var(--soft); margin: .2rem 0 0; }
.claims .figures b { color: var(--ink); font-weight: 600; }
.badge { display: inline-block; padding: .12rem .6rem; border-radius: 1rem; font-size: .84rem; font-weight: 650;
  white-space: nowrap; color: var(--open); background: var(--open-tint); }
.badge.holds, .badge.pass { color: var(--good); background: var(--good-tint); }
.badge.fails, .badge.fail { color: var(--bad); background: var(--bad-tint); }
.badge.warn { color: var(--warn); background: var(--warn-tint); }
.card td, .card th { vertical-align: top; }
.card .wrap { min-width: 10rem; }
.card td.wrap { min-width: 21rem; }
.made-of { color: var(--soft); }
.forest svg { display: block; width: 100%; height: auto; overflow: visible; }
.ends { display: flex; justify-content: space-between; gap: 1rem; font-size: .76rem; line-height: 1.3;
  color: var(--soft); }

.axis { stroke: var(--soft); stroke-width: 1; }
.band { fill: var(--band); }
.range { stroke: var(--mark); stroke-width: 2.4; }
.dot { fill: var(--mark); }
.ring { fill: var(--card); stroke: var(--mark); stroke-width: 1.4; }
.paper-mark { fill: none; stroke: var(--ink); stroke-width: 1.4; }
.strip { display: block; width: 9rem; height: 1.3rem; }
.bar { display: block; width: 7rem; height: .7rem; background: var(--band); }
.bar rect { fill: var(--mark); }

.key { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem 1.6rem;
  margin: 0 0 1.2rem; }
.key div { border-top: 2px solid var(--ink); padding-top: .45rem; }
.key dt { font-size: .84rem; color: var(--soft); }
.key dd { margin: 0; font-size: 1.55rem; font-weight: 600; line-height: 1.25; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; }
.key dd .error, .key dd .unit { font-size: .95rem; font-weight: 400; letter-spacing: 0; }

.scroll { overflow-x: auto; margin: 0 0 1.1rem; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.4; font-variant-numeric: tabular-nums;
  border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink); min-width: 60%; }
.caption { font: .86rem/1.5 var(--sans); color: var(--soft); margin: 1.2rem 0 .5rem; }
th, td { padding: .42rem .8rem; text-align: right; vertical-align: baseline; white-space: nowrap; }
th { font-weight: 600; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: .2rem; }
.left { text-align: left; }
.wrap { white-space: normal; min-width: 12rem; }
.from-paper { background: var(--tint); font-style: italic; }
.error, .unit { color: var(--soft); }
.differs { font-weight: 650; }
.confusion td { text-align: center; padding: .3rem .35rem; min-width: 2.1rem; border: 0; }
.confusion th { padding: .3rem .5rem; }
.confusion tbody tr + tr > * { border-top: 0; }

figure { margin: 1.2rem 0 1.8rem; }
figcaption { font-size: .86rem; line-height: 1.5; color: var(--soft); margin-top: .5rem; max-width: 42rem; }
figcaption b { color: var(--ink); }
.chart picture, .chart img { display: block; width: 100%; height: auto; }
.chart img { background: #fff; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0 1.6rem; }
.pair figure { margin: .6rem 0 1.2rem; min-width: 0; }
.pixels img { display: block; max-width: 100%; height: auto; image-rendering: pixelated; }
@media (prefers-color-scheme: dark) {
  .chart img { filter: invert(.9) hue-rotate(180deg); border-radius: 2px; }
}

details { border-top: 1px solid var(--line); }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .7rem 0; font-weight: 600; font-size: .95rem; }
summary .aside { font-weight: 400; color: var(--soft); }
.inside { padding: 0 0 1rem; }
pre { background: var(--tint); padding: .85rem 1rem; margin: 0 0 1.1rem; overflow-x: auto; line-height: 1.5;
  border-radius: 3px; tab-size: 2; }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; }
dl.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1.4rem; font-size: .9rem;
  line-height: 1.5; }
dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); }

@media (max-width: 44rem) {
  .page { padding: 1.4rem 1rem 3rem; }
  h1 { font-size: 1.65rem; }
  h2 { font-size: 1.28rem; margin-top: 2.3rem; }
  .claims > li { grid-template-columns: minmax(0, 1fr); }
  .forest { margin-top: .4rem; max-width: 24rem; }
  dl.facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dl.facts dd { margin-bottom: .5rem; }
}
@media print {
  @page { margin: 18mm 16mm; }
  :root {
    color-scheme: light;
    --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; --tint: #f5f5f5; --link: #000;
    --good: #00543d; --bad: #8a3400; --open: #444; --good-tint: #fff; --bad-tint: #fff; --open-tint: #fff;
    --warn: #5c4600; --warn-tint: #fff;
    --mark: #0072b2; --band: #e6e6e6;
  }
  body { font-size: 10pt; }
  body::before, nav { display: none; }
  .page { max-width: none; padding: 0; }
  .badge { border: 1px solid currentColor; }
  .chart img { filter: none; }
  .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .claims > li { grid-template-columns: 6.5rem minmax(0, 1fr) minmax(0, 14rem); }
  .scroll { overflow: visible; }
  table { font-size: 8.5pt; min-width: 0; max-width: 100%; }
  th, td { white-space: normal; padding: .25rem .45rem; }
  thead { display: table-header-group; }
  tr, figure, .claims > li, .key div, pre { break-inside: avoid; }
  h1, h2, h3, h4, .caption, summary { break-after: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); }
  td code { overflow-wrap: anywhere; }
  details::details-content { content-visibility: visible; height: auto; block-size: auto; overflow: visible; }
  summary { list-style: none; }
  a[href^="http"]::after { content: " (" attr(href) ")"; font-size: .9em; }
}
]]
