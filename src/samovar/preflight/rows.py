"""The rows of a file as runs of one workflow: looked at before anything runs, then prepared one by one.

Above: the command line. Below: `row_files.py`, `row_keys.py`, `prepare.py`. The workflow is checked once,
with the first row; of each row only the variables are bound. Nothing here holds more than one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from samovar.checks.unset import Readers
from samovar.config import Settings
from samovar.errors import SamovarError, UsageError, nearest
from samovar.errors.counting import counted
from samovar.expressions.names import normal
from samovar.language.parameters import Parameter
from samovar.language.workflow import Workflow
from samovar.preflight.prepare import bound, with_environment
from samovar.preflight.row_files import ReadRow, RowError, RowFile
from samovar.preflight.row_keys import RowKeys
from samovar.running.prepared import Prepared
from samovar.running.rows import RowTask
from samovar.running.runner import RunnerSettings

MOST_FAULTS = 10
"""Rows that are wrong and that are named."""


def of_files(workflow: Workflow, given: Mapping[str, object]) -> list[str]:
    """The parameters that a pattern's files can be given for: files, or else the only one that is left."""
    left = [one for one in workflow.parameters if one.name not in given and not one.secret]
    files = [one.name for one in left if one.type == "file"]
    texts = [one.name for one in left if one.type == "string"]
    return files or [one.name for one in left if one.required and one.name in texts] or texts


def texts_of(workflow: Workflow) -> frozenset[str]:
    """The parameters for which an empty cell is an empty text: a default comes before it."""
    return frozenset(one.name for one in workflow.parameters if one.type == "string" and one.default is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a file, for one workflow."""

    file: RowFile
    workflow: Workflow
    given: Mapping[str, object] = field(repr=False)
    """What is the same for every row."""
    readers: Readers
    settings: Settings
    run: RunnerSettings

    def count(self) -> int:
        """Looks at every row, and counts them. Raises `UsageError` that names the wrong ones, by line."""
        names = self.file.columns()
        if names is not None:
            self._check_names(names, f"{self.file.said}:1" if self.file.kind == "csv" else self.file.said)
            self._check_required(names)
        wrong: list[str] = []
        more = count = 0
        for row in self.file:
            count += 1
            try:
                self._bound(row)
            except SamovarError as error:
                if len(wrong) < MOST_FAULTS:
                    wrong.append(str(error))
                else:
                    more += 1
        if wrong:
            rest = [f"{counted(more, 'more row is', 'more rows are')} wrong."] if more else []
            raise UsageError("\n".join([*wrong, *rest]))
        return count

    def first(self) -> ReadRow | None:
        """The first row; None if there is none."""
        return next(iter(self.file), None)

    def values(self, row: ReadRow) -> dict[str, object]:
        """What a run of this row is given."""
        return {**self.given, **{normal(name): one for name, one in row.values.items()}}

    def tasks(self, prepared: Prepared, keys: RowKeys | None) -> Iterator[RowTask]:
        """The rows as runs, read and bound one at a time. `prepared`: for the first of them."""
        for row in self.file:
            variables = self._bound(row)
            yield RowTask(
                index=row.index,
                where=row.where,
                prepared=replace(prepared, variables=variables),
                key=keys.of(variables) if keys else None,
            )

    def _bound(self, row: ReadRow) -> dict[str, object]:
        if self.file.kind == "jsonl":
            self._check_names(list(row.values), row.where)
        try:
            given = with_environment(self.workflow, self.values(row), self.run)
            return bound(self.workflow, given, self.settings)
        except UsageError as error:
            lines = [line.strip() for line in error.message.splitlines()]
            raise RowError(row.where, " ".join(lines)) from None

    def _check_names(self, names: Sequence[str], where: str) -> None:
        """Raises `RowError` for a column that the workflow does not take."""
        known = {one.name: one for one in self.workflow.parameters}
        for name in map(normal, names):
            if name in self.given:
                raise RowError(where, f"{name!r} is given by this file and by the command. Keep one of them.")
            if (parameter := known.get(name)) is None:
                if (message := self.readers.unread(name)) is not None:
                    raise RowError(where, message)
            elif parameter.secret:
                raise RowError(
                    where,
                    f"The parameter {name!r} is secret, and cannot be a column: the rows are kept by what "
                    f"they say. Pass it for all rows, as --var {name}=@FILE or from the environment.",
                )

    def _check_required(self, names: Sequence[str]) -> None:
        """Raises `RowError` for columns that the file should have."""
        there = {*map(normal, names), *with_environment(self.workflow, self.given, self.run)}
        missing = [one for one in self.workflow.parameters if _is_missing(one, there)]
        if missing:
            where = f"{self.file.said}:1" if self.file.kind == "csv" else self.file.said
            what = ", ".join(repr(one.name) for one in missing)
            hint = nearest(missing[0].name, names) if self.file.kind == "csv" else ""
            raise RowError(where, f"There is no column {what}, which the workflow requires.{hint}")


def _is_missing(parameter: Parameter, there: set[str]) -> bool:
    is_needed = parameter.required and parameter.condition is None and parameter.default is None
    return is_needed and parameter.name not in there
