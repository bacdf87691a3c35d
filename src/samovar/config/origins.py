"""Where each setting's value comes from, and what else was said of it that does not count.

Above: `samovar config` and `samovar doctor`. Below: `loading.py`'s sources: the environment and the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from samovar.config.settings import settings_known
from samovar.errors import UsageError
from samovar.files import exists
from samovar.projects.config_files import ConfigFile, config_files, reason_unread
from samovar.projects.older_files import read_older
from samovar.projects.opening import counted
from samovar.projects.trust import is_trusted_by_environment

DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """What says something of settings, the nearest first. Names are in small letters."""

    counting: tuple[tuple[str, Mapping[str, object]], ...]
    """By source: a variable, or a file as it is shown."""
    notes: tuple[str, ...] = ()
    """What files of the older tool say that is not taken over."""

    def of(self, name: str) -> str:
        """Where the value in force comes from."""
        return next((source for source, values in self.counting if name in values), DEFAULT)

    def of_row(self, name: str, row: str) -> str:
        """The same of one row of a table, whose rows may come from several files."""
        for source, values in self.counting:
            table = values.get(name)
            if not isinstance(table, Mapping) and table is not None:
                return source  # the variable, which is in place of all tables of files
            if table is not None and row in table:
                return source
        return DEFAULT

    def others(self, name: str) -> tuple[str, ...]:
        """What else says it, and does not count for it."""
        return tuple(source for source, values in self.counting if name in values)[1:]


def read_origins(start: Path | None = None) -> Origins:
    """Of the environment and the files. Raises `UsageError` for a file that cannot be read."""
    files = list(config_files(start))
    try:
        found = [*_variables(), *(_of_file(file) for file in reversed(files))]
        notes = tuple(
            f"{file.path}: {note}" for file in files if file.is_older for note in read_older(file.path).notes
        )
    except (ValueError, OSError) as error:
        raise UsageError(reason_unread(error, start)) from error
    return Origins(counting=tuple(found), notes=notes)


def _variables() -> Iterator[tuple[str, Mapping[str, object]]]:
    known = {f"SAMOVAR_{name.upper()}": name for name in settings_known()}
    for variable, text in sorted(os.environ.items()):
        if text and (name := known.get(variable.upper())):
            yield variable, {name: text}


def _of_file(file: ConfigFile) -> tuple[str, Mapping[str, object]]:
    values = counted(file, settings_known(), trusts=is_trusted_by_environment())
    return str(file.path), {name.lower(): value for name, value in values.items()}


def files_there(start: Path | None = None) -> list[ConfigFile]:
    """The files of settings that are there, those that win last."""
    return [file for file in config_files(start) if exists(file.path)]
