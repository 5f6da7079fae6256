"""A job's report: one HTML file that opens without a server, and holds no script."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from gomr.scheduling.history import record_sentence
from gomr.units import shown_seconds, shown_size

BARS_MAX = 2_000  # a browser draws so many rectangles at once; the longest are kept, and those that failed
WIDTH, ROW = 1000, 14
COLOURS = {"done": "#2f7d4f", "run": "#1f6fb2", "failed": "#b3261e", "lost": "#8a4b00", "overtaken": "#767676"}
STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } th, td { text-align: left; padding: .2rem 1rem .2rem 0 }
td.n { text-align: right; font-variant-numeric: tabular-nums } pre { overflow: auto; padding: 1rem; border: 1px solid }
svg { width: 100%; height: auto; border: 1px solid #8888 } h2 { margin-top: 2rem }
"""


def report(overview: Mapping[str, Any], timeline: Mapping[str, Any]) -> str:
    """Return the report of a job from what its pages show: its overview, and its time line."""
    state = f"{overview['state']} after {shown_seconds(overview['elapsed'])}"
    parts = [
        f"<h1>{escape(overview['job'])}</h1><p>{escape(state)}; made {_moment(time.time())}</p>",
        _error(overview),
        "<h2>Stages</h2>",
        _table(
            ("stage", "state", "done", "tasks", "records in", "records out", "bytes in", "bytes out"), _stages(overview)
        ),
        *_statistics(overview),
        "<h2>Time line</h2>",
        f"<p>{timeline['shown']:,} of {timeline['total']:,} attempts; a row for each slot of a worker</p>",
        _bars(timeline),
        "<h2>Errors</h2>",
        _table(("count", "where", "message", "tasks"), _errors(overview)) if overview["errors"] else "<p>none</p>",
        "<h2>Counters</h2>",
        _table(("counter", "amount"), [(name, f"{value:,}") for name, value in overview["counters"].items()]),
        "<h2>Configuration</h2>",
        _table(("setting", "value"), _settings(overview["configuration"])),
    ]
    title = escape(f"{overview['job']}: {overview['state']}")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    body = "".join(parts)
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n'


def _error(overview: Mapping[str, Any]) -> str:
    error = overview["error"]
    if not error:
        return ""
    text = str(error.get("traceback") or error.get("message", ""))
    if error.get("record") is not None:
        text += f"\n{record_sentence(error)}"
    return f"<h2>Why it failed</h2><pre>{escape(text)}</pre>"


def _stages(overview: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            *(stage["stage"], stage["state"], f"{stage['done']:,}", f"{stage['tasks']:,}"),
            *(_sum(stage["records_in"], "{:,}".format), _sum(stage["records_out"], "{:,}".format)),
            *(_sum(stage["bytes_in"], shown_size), _sum(stage["bytes_out"], shown_size)),
        )
        for stage in overview["stages"]
    ]


def _sum(value: int | None, show: Callable[[int], str]) -> str:
    return "unknown" if value is None else show(value)


def _statistics(overview: Mapping[str, Any]) -> Iterable[str]:
    for stage, found in overview["statistics"].items():
        if not found["quantiles"]:
            continue
        rows = [(name, *(_quantity(name, value) for value in values)) for name, values in found["quantiles"].items()]
        yield f"<h2>Tasks of {escape(stage)}</h2><p>from {found['known']:,} tasks</p>"
        yield _table(("", "min", "25 %", "median", "75 %", "max"), rows)


def _quantity(name: str, value: float) -> str:
    if name == "seconds":
        return shown_seconds(value)
    return shown_size(value) if name.startswith("bytes") or name == "memory" else f"{value:,.0f}"


def _bars(timeline: Mapping[str, Any]) -> str:
    span = max(1e-3, timeline["ended"] - timeline["began"])
    bars = sorted(timeline["bars"], key=lambda bar: (bar[4] == "done", bar[5] - bar[6]))[:BARS_MAX]
    drawn = []
    for row, stage, index, attempt, outcome, started, ended, *_ in bars:
        left = (started - timeline["began"]) / span * WIDTH
        width = max(0.5, (ended - started) / span * WIDTH)
        colour = COLOURS.get(outcome, COLOURS["overtaken"])
        title = escape(f"{stage}/{index} attempt {attempt}: {outcome}, {shown_seconds(ended - started)}")
        drawn.append(
            f'<rect x="{left:.2f}" y="{row * ROW + 1}" width="{width:.2f}" height="{ROW - 2}" fill="{colour}">'
            f"<title>{title}</title></rect>"
        )
    height = max(1, len(timeline["rows"])) * ROW
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="attempts over time">{"".join(drawn)}</svg>'


def _errors(overview: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            f"{group['count']:,}",
            group["frame"] or group["kind"] or group["outcome"],
            group["message"],
            " ".join(group["tasks"]),
        )
        for group in overview["errors"]
    ]


def _settings(configuration: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [(name, str(value)) for name, value in configuration.items() if not isinstance(value, (dict, list))]
    rows += [(f"parameter {name}", str(value)) for name, value in configuration["params"].items()]
    rows += [("input", f"{item['url']} ({shown_size(item['size'])})") for item in configuration["inputs"]]
    return rows


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    return f"<td{' class=n' if text[:1].isdigit() else ''}>{escape(text)}</td>"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))
