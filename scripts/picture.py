"""Draws docs/run.svg: a real run of the example, as a terminal shows it. `python scripts/picture.py`"""

from __future__ import annotations

import io
from pathlib import Path

import anyio
from rich.console import Console

from samovar import memory
from samovar.app import open_app
from samovar.cli.live import Lines
from samovar.cli.report import show_report
from samovar.config import load_settings
from samovar.events import Event, Logged, Warned
from samovar.preflight.prepare import prepare
from samovar.python.figures import Figures, figures_of, report_object
from samovar.running.run import Run
from samovar.running.runner import Runner

ROOT = Path(__file__).parent.parent


async def run(console: Console) -> tuple[Run, Figures]:
    lines = Lines(console, verbose=0)

    def show(event: Event) -> None:
        if not isinstance(event, Warned | Logged):
            lines(event)

    async with open_app(load_settings({})) as app:
        reports = str(ROOT / "examples" / "reports.txt")
        example = str(ROOT / "examples" / "triage.md")
        prepared = prepare(example, {"reports": reports}, app.library, app.settings)
        ran = await Runner(app.library, app.executor, on_event=show).run(prepared)
        figures = figures_of(app)
    return ran, figures


def main() -> None:
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True, highlight=False)
    ran, figures = anyio.run(run, console)
    report = report_object(ran, figures)
    report["memory"]["closed_bytes"] = memory.resident_bytes()
    show_report(console, report)
    console.save_svg(str(ROOT / "docs" / "run.svg"), title="samovar run examples/triage.md")


if __name__ == "__main__":
    main()
