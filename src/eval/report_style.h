#pragma once

/// The style sheet of the report page.
namespace argosy::eval {

inline constexpr const char* kReportStyle = R"(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16202c; --muted: #5b6776; --rule: #e1e5ea;
  --recorded: #1f5fbf; --model: #d9541e; --ridge: #7a8794; --good: #17794a; --bad: #b42318;
  --road: #d5dae0; --error-0: #17794a; --error-1: #7f9a12; --error-2: #d69e00; --error-3: #d9541e; --error-4: #a3123a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f141a; --card: #171e26; --ink: #e6ebf1; --muted: #95a2b1; --rule: #2a343f;
    --recorded: #6aa5ff; --model: #ff8a4c; --ridge: #7f8c99; --good: #4cc38a; --bad: #ff7b6b;
    --road: #2a343f; --error-0: #4cc38a; --error-1: #a9c23f; --error-2: #f0c000; --error-3: #ff8a4c; --error-4: #ff5c7a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 60px; }
header .kind { color: var(--muted); font-size: 13px; letter-spacing: .06em; text-transform: uppercase; }
h1 { font-size: 26px; line-height: 1.25; margin: 4px 0 10px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 18px 0 2px; overflow-wrap: anywhere; }
p { margin: 6px 0; }
.verdict { font-size: 18px; border-left: 4px solid var(--good); padding: 2px 0 2px 14px; margin: 14px 0; }
.verdict.poor { border-color: var(--bad); }
.quiet { color: var(--muted); font-size: 14px; }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 18px 20px;
  margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 18px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 24px; font-variant-numeric: tabular-nums; line-height: 1.3; }
.tile span { color: var(--muted); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14.5px; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--muted); font-weight: 600; font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.dense th, .dense td { padding: 6px 5px; font-size: 13.5px; }
.dense th { font-size: 12.5px; }
.dense th:first-child, .dense td:first-child { padding-left: 0; }
td.wide { white-space: normal; overflow-wrap: anywhere; text-align: left; }
tr.group td { border-top: 2px solid var(--rule); font-weight: 600; }
tr.sub td:first-child { padding-left: 16px; color: var(--muted); }
td.least { font-weight: 700; }
.key { display: flex; flex-wrap: wrap; gap: 6px 18px; font-size: 13.5px; color: var(--muted); margin: 8px 0 4px; }
.key i { display: inline-block; width: 18px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle; }
.plot { display: block; width: 100%; height: auto; }
.long .plot { min-width: 640px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 18px; }
.plot .grid { stroke: var(--rule); stroke-width: 1; }
.plot .zero { stroke: var(--muted); stroke-width: 1; opacity: .55; }
.plot .diagonal { stroke: var(--muted); stroke-width: 1.2; stroke-dasharray: 5 4; fill: none; }
.plot .tick { fill: var(--muted); font-size: 12.5px; }
.plot .label { fill: var(--muted); font-size: 13px; }
.plot path { fill: none; stroke-linejoin: round; }
.stroke-recorded { stroke: var(--recorded); stroke-width: 1.7; }
.stroke-model { stroke: var(--model); stroke-width: 1.7; }
.stroke-ridge { stroke: var(--ridge); stroke-width: 1.2; stroke-dasharray: 4 3; }
.fill-model { fill: var(--model); }
.points { opacity: .45; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 230px), 1fr)); gap: 16px; margin-top: 10px; }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; border-radius: 6px; background: #000; }
figcaption { font-size: 13px; color: var(--muted); margin-top: 5px; font-variant-numeric: tabular-nums; }
.arrow { fill: none; stroke-linecap: round; stroke-linejoin: round; }
.shade { stroke: #000; opacity: .55; }
.arrow.recorded { stroke: #6aa5ff; }
.arrow.model { stroke: #ff8a4c; }
figure .map { background: none; }
.map path { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.map .road { fill: var(--road); fill-rule: evenodd; }
.map .stroke-error-0 { stroke: var(--error-0); stroke-width: 2.4; }
.map .stroke-error-1 { stroke: var(--error-1); stroke-width: 2.4; }
.map .stroke-error-2 { stroke: var(--error-2); stroke-width: 2.4; }
.map .stroke-error-3 { stroke: var(--error-3); stroke-width: 2.4; }
.map .stroke-error-4 { stroke: var(--error-4); stroke-width: 2.4; }
.map .taken-over { fill: none; stroke: var(--error-4); stroke-width: 2; }
video { display: block; width: 100%; height: auto; border-radius: 6px; background: #000; }
.range { display: block; color: var(--muted); font-size: 12px; }
details { margin-top: 8px; }
summary { cursor: pointer; color: var(--muted); font-size: 14px; }
pre { background: var(--page); border: 1px solid var(--rule); border-radius: 8px; padding: 12px; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
ul { padding-left: 20px; margin: 6px 0; }
@media (max-width: 560px) { main { padding: 18px 10px 40px; } section { padding: 14px 12px; } h1 { font-size: 22px; }
  .verdict { font-size: 16px; } th, td { padding: 6px 7px; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
)";

}  // namespace argosy::eval
