"""How far a run for many rows has come, on standard error: a bar on a terminal, else a line now and then.

Above: `rows.py`. Below: rich. Rows that an earlier start has done count for how far it is, not for how fast.
"""

from __future__ import annotations

import sys
import time

from rich.progress import BarColumn, Progress, TextColumn

from samovar.cli.console import make_console
from samovar.cli.terminal import say
from samovar.errors.counting import counted
from samovar.errors.durations import about
from samovar.running.rows import RowDone

SAID_S = 10.0
"""Seconds between two lines about how far the rows are, where there is no bar."""


class RowProgress:
    """Shows how far it is. Mutable: the counts, and the bar. `ran`: rows that no earlier start has done."""

    def __init__(self, total: int, *, is_quiet: bool, has_bar: bool) -> None:
        """`has_bar`: standard output does not go to the same terminal."""
        self.total, self.done, self.failed, self.ran = total, 0, 0, 0
        self._began_s = self._said_s = time.monotonic()
        self._bar: Progress | None = None
        self._is_quiet = is_quiet
        if not is_quiet and has_bar and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=30))
            self._bar = Progress(*columns, console=make_console(), transient=True)
            self._task = self._bar.add_task(self.words(), total=total)
            self._bar.start()

    def count(self, done: RowDone) -> None:
        """A row is over."""
        self.done += 1
        self.failed += done.error is not None
        self.ran += done.run is not None
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, description=self.words())
        elif not self._is_quiet and time.monotonic() - self._said_s >= SAID_S:
            self._said_s = time.monotonic()
            say(self.words())

    def close(self) -> None:
        """The bar goes."""
        if self._bar is not None:
            self._bar.stop()

    def elapsed_s(self) -> float:
        """Since the first row began."""
        return time.monotonic() - self._began_s

    def words(self) -> str:
        """`42 of 200 rows, 2 failed, 31 rows/min, 5 min left`"""
        parts = [f"{self.done:,} of {counted(self.total, 'row', grouped=True)}"]
        parts += [f"{self.failed:,} failed"] if self.failed else []
        took_s = self.elapsed_s()
        if self.ran and took_s > 0:
            left_s = took_s / self.ran * max(0, self.total - self.done)
            parts += [_rate(self.ran / took_s), f"{about(left_s)} left"]
        return ", ".join(parts)


def _rate(per_s: float) -> str:
    return f"{per_s:.1f} rows/s" if per_s >= 1 else f"{per_s * 60:.1f} rows/min"
