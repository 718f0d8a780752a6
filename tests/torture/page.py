"""The report as one HTML page that needs nothing else, readable on a phone and on paper."""

import html

from torture.row import FAILED, NOT_RUN, PASSED, SHORT, number

COLOURS = {PASSED: "good", FAILED: "bad", SHORT: "part", NOT_RUN: "none"}

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --paper: #fff; --card: #f5f7f9;
  --good: #176b3a; --bad: #b3261e; --part: #8a5a00; --none: #5b6675; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --line: #333c48; --paper: #14181e;
  --card: #1d232b; --good: #6fd39b; --bad: #ff8f86; --part: #f0c067; --none: #9aa6b5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem; max-width: 60rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p { margin: .25rem 0; }
.soft { color: var(--soft); }
.verdict { font-size: 1.1rem; font-weight: 600; margin: .75rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; }
.card { background: var(--card); border-radius: .5rem; padding: .6rem .75rem; }
.card b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.row { border-top: 1px solid var(--line); padding: .6rem 0; display: grid; gap: .15rem 1rem;
  grid-template-columns: minmax(0, 1fr) auto; break-inside: avoid; }
.row .name { font-weight: 600; }
.row .result { font-weight: 600; text-align: right; white-space: nowrap; }
.row .wide { grid-column: 1 / -1; color: var(--soft); overflow-wrap: anywhere; }
.row .wide.bad { color: var(--bad); }
.good { color: var(--good); } .bad { color: var(--bad); } .part { color: var(--part); } .none { color: var(--none); }
pre { background: var(--card); padding: .75rem; border-radius: .5rem; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: .8rem; }
ul { margin: .25rem 0; padding-left: 1.2rem; }
"""


def page(report) -> str:
    say = html.escape
    state = {0: ("good", "All rows ran and passed."), 1: ("bad", "Something is wrong: see the rows marked failed."),
             2: ("part", "Nothing wrong was found, but not everything ran to its end.")}[report.exit_code]
    cards = [("faults", sum(report.faults.values())), ("kills of vmproxy", report.kills),
             ("operations checked", report.operations), ("anomalies", report.anomalies)]
    parts = ["<!doctype html>", '<html lang="en"><meta charset="utf-8">',
             '<meta name="viewport" content="width=device-width, initial-scale=1">',
             f"<title>{say(report.title)}</title><style>{STYLE}</style><body>",
             f"<h1>{say(report.title)}</h1>",
             *(f'<p class="soft">{say(name)}: {say(str(value))}</p>' for name, value in report.about),
             f'<p class="verdict {state[0]}">{state[1]}</p>',
             *(f'<p class="{state[0]}">{say(note)}</p>' for note in report.notes),
             '<div class="cards">',
             *(f'<div class="card"><b>{number(value)}</b>{say(name)}</div>' for name, value in cards), "</div>",
             "<h2>Rows</h2>", *(row_block(row, result) for row, result in report.rows),
             "<h2>Load</h2>", counts_list(report.load), "<h2>Faults by kind</h2>", counts_list(report.faults)]
    for result in report.results:
        if result.anomalies:
            parts += [f"<h2>Anomalies of {say(result.name)} ({result.anomaly_count})</h2>",
                      f"<p>again: <code>{say(result.again)}</code></p>",
                      *(f"<pre>{say(text)}</pre>" for text in result.anomalies)]
    return "\n".join([*parts, "</body></html>", ""])


def row_block(row, result) -> str:
    say = html.escape
    if result is None:
        return (f'<div class="row"><div class="name">{say(row.what)}</div>'
                '<div class="result none">in another part</div></div>')
    lines = [f"{result.done:,} of {result.asked:,} {result.unit} in {result.seconds:,.0f} s, {result.anomaly_count} anomalies"
             + (f", {result.operations:,} operations checked" if result.operations else "")]
    lines = [f"needs {result.not_run}"] if result.not_run else lines
    wide = "".join(f'<div class="wide">{say(line)}</div>' for line in lines)
    for figure in result.figures:
        kind, word = (" bad", "missed: ") if figure.missed else ("", "")
        wide += f'<div class="wide{kind}">{word}{say(str(figure))}</div>'
    return (f'<div class="row"><div class="name">{say(row.what)}</div>'
            f'<div class="result {COLOURS[result.verdict]}">{say(result.verdict)}</div>{wide}</div>')


def counts_list(counts: dict) -> str:
    if not counts:
        return '<p class="soft">none</p>'
    return "<ul>" + "".join(f"<li>{number(count)} {html.escape(name)}</li>" for name, count in counts.items()) + "</ul>"
