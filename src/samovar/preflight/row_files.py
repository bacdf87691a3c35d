"""Reads the rows that a workflow is run for: lines of JSON, CSV, or the files that a pattern matches.

Above: `rows.py`. Below: `row_lines.py`, the formats of values. A file is read as a stream, as often as it is
gone through, so that what is held does not grow with it. A row that cannot be read is an error that names the
file and the line.
"""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from samovar.errors import TooLargeError, UsageError, nearest
from samovar.expressions.formats import NotJsonError, column_names, json_of
from samovar.preflight.row_lines import lines_of
from samovar.values import VALUE_BYTES

Kind = Literal["jsonl", "csv", "files"]
KINDS: Mapping[str, Kind] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
"""By what a file's name ends with."""
_WILD = frozenset("*?[")


class RowError(UsageError):
    """A row that cannot be. `where`: its file and line."""

    def __init__(self, where: str, message: str) -> None:
        self.where = where
        super().__init__(f"{where}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow:
    """One row as it was read."""

    index: int
    """In its file, from 0."""
    where: str
    """`rows.csv:12`; of a pattern, the file that it is."""
    values: Mapping[str, object] = field(repr=False)
    """By column: texts from CSV, values from JSON. One that is null or empty is not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """Where rows come from. Each time it is gone through, it is read again."""

    said: str
    """The file or pattern, as written."""
    kind: Kind
    parameter: str = ""
    """Of a pattern: which parameter each file is given for."""
    texts: frozenset[str] = frozenset()
    """Parameters for which an empty cell is an empty text, and not nothing."""
    results: Path | None = None
    """A file that the results go to, which a pattern may match and which is not a row."""

    def __iter__(self) -> Iterator[ReadRow]:
        """Raises `RowError` for a row that cannot be read, and `UsageError` for the file."""
        return {"jsonl": self._objects, "csv": self._records, "files": self._files}[self.kind]()

    def columns(self) -> Sequence[str] | None:
        """The columns that all rows have, as CSV says in its first line; None: each row has its own."""
        if self.kind == "csv":
            return next(iter(self._table()), (0, []))[1]
        return [self.parameter] if self.kind == "files" else None

    def _files(self) -> Iterator[ReadRow]:
        for index, name in enumerate(sorted(filter(self._is_row, glob.iglob(self.said, recursive=True)))):
            yield ReadRow(index=index, where=name, values={self.parameter: name})

    @property
    def is_matched(self) -> bool:
        """Whether the pattern matches a file."""
        return any(map(self._is_row, glob.iglob(self.said, recursive=True)))

    def _is_row(self, name: str) -> bool:
        file, results = Path(name), self.results
        return file.is_file() and not (results is not None and results.exists() and results.samefile(file))

    def _objects(self) -> Iterator[ReadRow]:
        index = 0
        for number, line in enumerate(lines_of(Path(self.said)), start=1):
            if not line.strip():
                continue
            where = f"{self.said}:{number}"
            try:
                value = json_of(line)
            except NotJsonError as error:
                message = f"This line is not JSON: {error.what}.{_of_list(line)}"
                raise RowError(f"{where}:{error.column}", message) from None
            except TooLargeError as error:
                raise RowError(where, error.message) from None
            except ValueError as error:
                raise RowError(where, f"This line cannot be read: {error}.") from None
            if not isinstance(value, dict):
                expected = 'A row is an object on one line, as in {"name": "Ann"}.'
                raise RowError(where, f"{expected}{_of_list(line)}")
            yield ReadRow(
                index=index,
                where=where,
                values={name: one for name, one in value.items() if one is not None},
            )
            index += 1

    def _records(self) -> Iterator[ReadRow]:
        names: Sequence[str] = []
        for index, (line, cells) in enumerate(self._table(), start=-1):
            where = f"{self.said}:{line}"
            if index < 0:
                names = cells
                continue
            if len(cells) != len(names):
                raise RowError(where, f"This row has {len(cells)} cells, and the first line {len(names)}.")
            pairs = zip(names, cells, strict=True)
            values = {name: cell for name, cell in pairs if cell or name in self.texts}
            yield ReadRow(index=index, where=where, values=values)

    def _table(self) -> Iterator[tuple[int, list[str]]]:
        """The line that each record begins in, and its cells; first the names of the columns."""
        lines = _Counted(lines_of(Path(self.said)))
        first = lines.first()
        if first is None:
            raise UsageError(f"{self.said} is empty: the first line of CSV names the columns.")
        reader = csv.reader(lines, strict=True, delimiter=_delimiter(first, self.said))
        is_first, begins = True, 1
        while True:
            before = csv.field_size_limit(VALUE_BYTES.get())  # it is of the whole process
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise RowError(f"{self.said}:{begins}", f"This row is not CSV: {error}.") from None
            finally:
                csv.field_size_limit(before)
            if cells is None:
                return
            if cells and is_first:
                cells, is_first = self._names(cells), False
            if cells:
                yield begins, cells
            begins = lines.read + 1

    def _names(self, cells: list[str]) -> list[str]:
        try:
            return column_names(cells)
        except ValueError as error:
            raise RowError(f"{self.said}:1", f"{str(error)[0].upper()}{str(error)[1:]}.") from None


class _Counted(Iterator[str]):
    """Lines, counted as they are read. Mutable: how many were, and the one that was looked at."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._looked_at = lines, ""
        self.read = 0

    def first(self) -> str | None:
        """The first line, which stays to be read."""
        self._looked_at = next(self._lines, "")
        return self._looked_at or None

    def __next__(self) -> str:
        line, self._looked_at = self._looked_at or next(self._lines), ""
        self.read += 1
        return line


def _delimiter(first: str, said: str) -> str:
    """What is between the cells: a comma, or what a spreadsheet puts in its place."""
    if said.endswith(".tsv"):
        return "\t"
    return "," if "," in first else next((one for one in (";", "\t") if one in first), ",")


def _of_list(line: str) -> str:
    if not line.lstrip().startswith("["):
        return ""
    return " `jq -c '.[]' FILE` writes the items of a list on lines of their own."


def open_row_file(
    said: str, *, texts: frozenset[str], of_files: Sequence[str], results: Path | None = None
) -> RowFile:
    """What `--each` names: a file of rows by its name's ending, or a pattern.

    `texts`: the parameters for which an empty cell is a text. `of_files`: those that a file may be given for.
    `results`: the file that `--out` names. Raises `UsageError`.
    """
    name, equals, pattern = said.partition("=")
    if equals and name in of_files:
        return _matched(RowFile(said=pattern, kind="files", parameter=name, results=results), said)
    path = Path(said)
    # A name that is misspelt, unless a file is called like this.
    hint = ""
    if equals and name.isidentifier():
        hint = f" The workflow has no parameter {name!r} that takes files.{nearest(name, of_files)}"
    if not path.exists() and not _WILD.isdisjoint(said):
        if len(of_files) != 1:
            which = ", ".join(of_files) or "none"
            raise UsageError(
                f"--each {said}: each file is given for one parameter of the workflow, which can be: "
                f"{which}. Name it: --each 'NAME={said}'."
            )
        found = RowFile(said=said, kind="files", parameter=of_files[0], results=results)
        return _matched(found, said, hint)
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"--each {said}: expected a file of rows ({', '.join(KINDS)}), or a pattern of files in quotes, "
            f"as in 'notes/*.txt'.{hint}"
        )
    if not path.is_file():
        what = "there is no such file" if not path.exists() else "a regular file is needed, read twice"
        raise UsageError(f"--each {said}: {what}.{hint}")
    return RowFile(said=said, kind=kind, texts=texts)


def _matched(file: RowFile, said: str, hint: str = "") -> RowFile:
    """The files of a pattern. Raises `UsageError` if there is none."""
    if not file.is_matched:
        raise UsageError(f"--each {said}: no file matches the pattern {file.said!r}.{hint}")
    return file
