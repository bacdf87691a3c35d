"""The output of a run for many rows, on standard output or in a file: one line of JSON for each row.

Above: `rows.py`. Below: the wire. A file is only added to, by whole lines; a row whose line it has, from an
earlier start, is not written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from samovar.cli.output import json_text
from samovar.cli.terminal import put
from samovar.errors import SamovarError, UsageError
from samovar.running.rows import RowDone
from samovar.running.wire import error_to_wire, tokens_to_wire
from samovar.values import plain

if TYPE_CHECKING:
    import sqlite3

OPENING = b'{"index": '
"""What every line begins with."""


def row_object(done: RowDone) -> dict[str, Any]:
    """What came of a row, without secrets, of plain values."""
    key, run = done.task.key, done.run
    wire: dict[str, Any] = {
        "index": done.task.index,
        "row": done.task.where,
        "key": key.work if key else None,
        "run": done.id,
        "status": done.ending,
    }
    if done.error is not None:
        wire["error"] = error_to_wire(done.error)
    elif run is not None:
        wire["result"] = run.hidden.copy_value(plain(run.result))
    elif done.kept is not None and done.kept.result is not None:
        wire["result"] = json.loads(done.kept.result)
    if (tokens := run.tokens if run else done.kept.tokens if done.kept else None) is not None:
        wire["tokens"] = tokens_to_wire(tokens)
    return wire


class StandardOutput:
    """Writes every row."""

    def write(self, done: RowDone) -> None:
        """One line, at once."""
        put(json_text(row_object(done)) + "\n")


class RowFileOutput:
    """Adds rows to a file. Mutable: which lines it had that no row of this start has been found for."""

    def __init__(self, file: BinaryIO, path: Path, lines: sqlite3.Connection) -> None:
        self._file, self._path, self._lines = file, path, lines

    def write(self, done: RowDone) -> None:
        """One line, at once, unless it is there. Raises `UsageError` if it cannot be written."""
        if done.kept is not None and self._is_there(done):
            return
        line = json.dumps(row_object(done), ensure_ascii=False) + "\n"
        try:
            self._file.write(line.encode("utf-8", "replace"))
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _is_there(self, done: RowDone) -> bool:
        key = done.task.key.work if done.task.key else ""
        taken = self._lines.execute(
            "UPDATE line SET count = count - 1 WHERE key = ? AND run = ? AND count > 0", (key, done.id)
        )
        return taken.rowcount > 0


@contextmanager
def open_output(path: Path | None) -> Iterator[StandardOutput | RowFileOutput]:
    """Where rows go. Raises `UsageError` for a file that cannot be added to."""
    if path is None:
        yield StandardOutput()
        return
    try:
        import sqlite3
    except ImportError as error:
        raise UsageError("--out needs sqlite3, which this Python does not have.") from error
    # Kept on disk, in a file of its own that goes when it is closed: there may be any number of lines.
    with closing(sqlite3.connect("", isolation_level=None)) as lines:
        try:
            with path.open("a+b", buffering=0) as file:
                _read(file, lines)
                yield RowFileOutput(file, path, lines)
        except OSError as error:
            raise _unwritable(path, error) from error


def _read(file: BinaryIO, lines: sqlite3.Connection) -> None:
    """Which rows a file has. What a process that was killed left of a line is cut off."""
    lines.execute("CREATE TABLE line (key TEXT, run TEXT, count INTEGER, PRIMARY KEY (key, run))")
    lines.execute("BEGIN")
    file.seek(0)
    whole = 0
    with open(file.fileno(), "rb", closefd=False) as reader:
        for line in reader:
            if line.endswith(b"\n"):
                whole += len(line)
                _count(line, lines)
            elif line.startswith(OPENING[: len(line)]):
                file.truncate(whole)
            else:  # not ours: it stays
                file.write(b"\n")
    lines.execute("COMMIT")


def _count(line: bytes, lines: sqlite3.Connection) -> None:
    try:
        found = json.loads(line)
        key, run = found["key"], found["run"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(key, str) and isinstance(run, str):
        lines.execute(
            "INSERT INTO line VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", (key, run)
        )


def _unwritable(path: Path, error: OSError) -> SamovarError:
    return UsageError(f"--out {path} cannot be written: {error.strerror or error}.")
