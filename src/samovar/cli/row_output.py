"""The output of a run for many rows, on standard output or in a file: one line of JSON for each row.

Above: `rows.py`. Below: the wire. A file is only added to, by whole lines, and only if all it has are such
lines. One that it has, from an earlier start or from another process that writes to it now, is not written
again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from samovar.cli.output import json_text
from samovar.cli.terminal import put
from samovar.errors import SamovarError, UsageError
from samovar.files import locked
from samovar.running.rows import RowDone
from samovar.running.wire import error_to_wire, tokens_to_wire
from samovar.values import plain

if TYPE_CHECKING:
    import sqlite3

OPENING = b'{"index": '
"""What every line begins with."""
_BEGUN = re.compile(rb'\{"index": \d+(?:, "row": ".*|[, "row:]*)\Z', re.DOTALL)
"""What a line that was cut off looks like, if there is more of it than its opening."""


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
    """Adds rows to a file. Mutable: how far the file is read, and the lines that no row of this start has
    been found for."""

    def __init__(self, file: BinaryIO, path: Path, lines: sqlite3.Connection) -> None:
        """Raises `UsageError` for a file that has anything but rows."""
        self._file, self._path, self._lines = file, path, lines
        self._read_bytes = self._read_lines = 0
        lines.execute(
            "CREATE TABLE line (key TEXT, run TEXT, status TEXT, count INTEGER, "
            "PRIMARY KEY (key, run, status))"
        )
        with locked(file):
            self._catch_up()

    def write(self, done: RowDone) -> None:
        """One line, at once, unless it is there. Raises `UsageError` if it cannot be written."""
        line = (json.dumps(row_object(done), ensure_ascii=False) + "\n").encode("utf-8", "replace")
        try:
            with locked(self._file):
                self._catch_up()
                if not self._is_there(done):
                    self._add(line)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _is_there(self, done: RowDone) -> bool:
        key = done.task.key.work if done.task.key else ""
        taken = self._lines.execute(
            "UPDATE line SET count = count - 1 WHERE key = ? AND run = ? AND status = ? AND count > 0",
            (key, done.id, done.ending),
        )
        return taken.rowcount > 0

    def _add(self, line: bytes) -> None:
        """All of it, or nothing."""
        try:
            left = memoryview(line)
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(self._read_bytes)
            raise
        self._read_bytes += len(line)
        self._read_lines += 1

    def _catch_up(self) -> None:
        """Reads what the file has got since. What a process that was killed left of a line is cut off."""
        if os.fstat(self._file.fileno()).st_size <= self._read_bytes:
            return
        self._lines.execute("BEGIN")
        with open(self._file.fileno(), "rb", closefd=False) as reader:
            reader.seek(self._read_bytes)
            while line := reader.readline(len(OPENING)):  # no more of another file, whose lines may be long
                if line == OPENING:
                    line += reader.readline()
                if not line.endswith(b"\n") and (OPENING.startswith(line) or _BEGUN.match(line)):
                    self._file.truncate(self._read_bytes)
                    break
                self._count(line)
                self._read_bytes += len(line)
                self._read_lines += 1
        self._lines.execute("COMMIT")

    def _count(self, line: bytes) -> None:
        found = _row_of(line)
        if found is None:
            raise UsageError(
                f"{self._path}:{self._read_lines + 1}: This line is not the result of a row, so --out adds "
                "nothing to this file. Name a new file, or one that --out has written."
            )
        self._lines.execute(
            "INSERT INTO line VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", found
        )


def _row_of(line: bytes) -> tuple[str, str, str] | None:
    """The key, the run and the status that a line has; None: it is not the line of a row."""
    try:
        found = json.loads(line)
        key, run, status = found["key"] or "", found["run"], found["status"]
        is_row = isinstance(found["index"], int) and isinstance(found["row"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (key, run, status) if is_row and all(isinstance(one, str) for one in (key, run, status)) else None


def check_output(path: Path | None, rows: Path) -> None:
    """Raises `UsageError` for what results cannot be added to. `rows`: what `--each` names."""
    if path is None:
        return
    if str(path) == "-" or (path.exists() and not path.is_file()):
        raise UsageError(
            f"--out {path}: a regular file is needed, or a new one, since it is read to see which rows it "
            "has. Without --out, results go to standard output."
        )
    if path.exists() and rows.exists() and path.samefile(rows):
        raise UsageError(f"--out {path} is the file that --each reads. Name another file for the results.")


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
                yield RowFileOutput(file, path, lines)
        except OSError as error:
            raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> SamovarError:
    return UsageError(f"--out {path} cannot be written: {error.strerror or error}.")
