"""`samovar runs show --html`: one kept run as one page that needs nothing else.

Above: `of_runs.py`, `kept_files.py`. Below: the wire of kept runs, the template `run_page.html`, which
escapes every text. The page has no script and asks nobody for anything: its policy forbids both.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from samovar.cli.kept_drawing import svg_of, target_of, text_of
from samovar.cli.kept_files import Output, read_run
from samovar.cli.kept_showing import DONE, TEXT_OF
from samovar.cli.output import json_text
from samovar.cli.showing import visible
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.memory import in_words
from samovar.running.kept_wire import memory_curve

Object = Mapping[str, Any]
MOST_VISITS = 2_000
"""Visits of a page: some megabytes with usual prompts. The export has all."""
MOST_ROWS = 60
"""Rows of the timeline."""
WIDTH = 1000
"""Units of a picture from the run's start to its end."""
HEIGHT = 100
_TEMPLATE = Path(__file__).with_name("run_page.html")
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def write_page(settings: Mapping[str, Any], run: str, out: Output) -> int:
    """Writes the page of a run, and returns the exit status."""
    out.check()
    out.write(page_of(read_run(settings, run)))
    return 0


def page_of(run: Object) -> str:
    """The page of a run, from the object of its export."""
    import jinja2

    source = _TEMPLATE.read_text(encoding="utf-8")
    style = _STYLE.search(source)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "time": lasting,
        "bytes": in_words,
        "value": _text,
        "clean": _clean,
        "target": target_of,
        "counted": counted,
        "done": lambda kind: DONE.get(kind, kind),
        "text_of": lambda kind: TEXT_OF.get(kind, "text:"),
    }
    svg = svg_of(run)
    span = _Span.of(run)
    states = run["states"][:MOST_VISITS]
    page = environment.from_string(source).render(
        run=run,
        states=states,
        left_out=len(run["states"]) - len(states),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        diagram=svg,  # made anew from known elements alone
        drawing=text_of(run) if svg is None else None,
        began=f"{datetime.fromtimestamp(run['started_at']):%Y-%m-%d %H:%M:%S}",
        took_s=span.end - span.begin,
        timeline=_timeline(run["states"], span),
        memory=_memory(run["states"], span),
        loads=_loads(run["states"]),
        reuse=_reuse(run["tokens"]),
    )
    return page.replace("\r", "&#13;") + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """The time of a run, in seconds since 1970."""

    begin: float
    end: float

    @classmethod
    def of(cls, run: Object) -> _Span:
        ends = [one.get("left_at") or one["entered_at"] for one in run["states"]]
        end = run["ended_at"] or run["touched_at"]
        return cls(begin=run["started_at"], end=max([end, *ends, run["started_at"] + 0.001]))

    def at(self, time: float) -> float:
        """Where a moment is in a picture."""
        return round(WIDTH * (time - self.begin) / (self.end - self.begin), 2)


def _timeline(states: Sequence[Object], span: _Span) -> dict[str, Any]:
    """A row for each state, with a bar for each visit; the items of a list are in the row of their state."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in states:
        path = re.sub(r"\[\d+\]", "[…]", one["path"])
        end = one.get("left_at") or span.end
        begin = end - one["duration_s"] if "duration_s" in one else one["entered_at"]
        width = max(4.0, span.at(end) - span.at(begin) - 1)  # a gap to the next one
        left = min(max(0.0, span.at(begin)), WIDTH - width)
        took = lasting(one["duration_s"]) if "duration_s" in one else one["status"]
        title = f"{one['number']}  {one['path']}: {took}"
        rows.setdefault(path, []).append({"x": left, "width": width, "status": one["status"], "title": title})
    shown = [{"path": path, "bars": bars[:MOST_VISITS]} for path, bars in list(rows.items())[:MOST_ROWS]]
    return {"rows": shown, "left_out": len(rows) - len(shown)}


def _memory(states: Sequence[Object], span: _Span) -> dict[str, Any] | None:
    """The memory at the ends of visits, as a line; of very many visits every so many one."""
    curve = memory_curve(states)
    if not curve:
        return None
    step = -(-len(curve) // MOST_VISITS)
    sizes = [size for _, size in curve]
    top = max(sizes) or 1
    points = [
        (span.at(at), round(HEIGHT - HEIGHT * 0.94 * size / top, 2))
        for number, (at, size) in enumerate(curve)
        if number % step == 0 or number == len(curve) - 1
    ]
    line = " ".join(f"{x},{y}" for x, y in [(points[0][0], points[0][1]), *points])
    area = f"{points[0][0]},{HEIGHT} {line} {points[-1][0]},{HEIGHT}"
    return {"line": line, "area": area, "peak": top, "first": sizes[0], "last": sizes[-1]}


def _loads(states: Sequence[Object]) -> list[dict[str, Any]]:
    """What waited for a model that was loaded."""
    return [
        {"state": one["path"], "number": one["number"], **load}
        for one in states
        for load in one.get("loads", ())
    ]


def _reuse(tokens: Mapping[str, int]) -> dict[str, float]:
    """The parts of the prompts' tokens, from 0 to `WIDTH`."""
    prompt = tokens["evaluated"] + tokens["reused"]
    return {"prompt": prompt, "width": round(WIDTH * tokens["reused"] / prompt, 1) if prompt else 0.0}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def _clean(text: str) -> str:
    """What a page cannot hold, or what would turn the order of characters, as an escape."""
    return visible(text.replace("\r\n", "\n"))
