"""The settings from files that count: some need the user's trust.

Above: `config/`, which makes settings of it; the doors, which say what does not count. Below:
`config_files.py`, `trust.py`. Which settings there are is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.errors import UsageError
from samovar.files import is_file
from samovar.projects import trust
from samovar.projects.config_files import ConfigFile, config_files, files_of, read_settings_file
from samovar.setting import Setting

Known = Mapping[str, Setting]
"""The settings that there are, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a project's file of settings opens, or all of one folder together."""

    file: ConfigFile
    values: Mapping[str, object]
    """By name as it is written; only settings that open something."""
    digest: str
    """Of what all files of the folder open: they are trusted together."""
    standing: trust.Standing
    """The user's trust in them."""

    @property
    def command(self) -> str:
        """What makes it count."""
        return "samovar trust" if self.file.is_here else f"samovar trust {self.file.path.parent.parent}"

    @property
    def line(self) -> str:
        """Which settings do not count, why, and what to do."""
        do = "does" if len(self.values) == 1 else "do"
        until = "again, since they have changed" if self.standing == "changed" else "the folder"
        return (
            f"{self.file.path}: {', '.join(self.values)} {do} not count until you trust {until}: "
            f"`{self.command}` shows what is there, and asks."
        )


def opening(file: ConfigFile, known: Known) -> Opening:
    """What a project's file opens, and whether the user has trusted it so. Raises `ValueError`, `OSError`."""
    assert file.project is not None
    return _opening(file, file.project, _opened_by(file, known), known)


def _opening(file: ConfigFile, project: Path, values: Mapping[str, object], known: Known) -> Opening:
    digest = trust.digest(_together(_opened_by(one, known) for one in files_of(project, project)))
    return Opening(file=file, values=values, digest=digest, standing=trust.standing(project, digest))


def _opened_by(file: ConfigFile, known: Known) -> dict[str, Any]:
    # The case of a name does not matter to what reads the settings.
    return {
        name: value for name, value in read_settings_file(file).items() if _opens(known.get(name.lower()))
    }


def _opens(known: Setting | None) -> bool:
    return known is not None and known.opens


def _together(files: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What files say together, the later one before the earlier; tables of both have the rows of both."""
    together: dict[str, Any] = {}
    for values in files:
        for name, value in values.items():
            both = isinstance(value, dict) and isinstance(together.get(name), dict)
            together[name] = together[name] | value if both else value
    return together


def opening_of(folder: Path, known: Known) -> Opening:
    """The same of all files of a project's folder. Raises `UsageError` for one that cannot be read."""
    files = files_of(folder, folder)
    opened = []
    for file in files:
        try:
            opened.append(_opened_by(file, known))
        except (ValueError, OSError) as error:
            raise UsageError(f"The settings in {file.path} cannot be read: {error}.") from error
    return _opening(files[-1], folder, _together(opened), known)


def uncounted(known: Known, start: Path | None = None) -> list[Opening]:
    """What the project's files open and does not count, since the user does not trust it; the nearest last.

    Raises `UsageError` for what `SAMOVAR_TRUST` cannot be.
    """
    if trust.is_trusted_by_environment():
        return []
    found = [opening(file, known) for file in config_files(start) if file.project is not None]
    return [one for one in found if one.values and one.standing != "trusted"]


def written(known: Known, start: Path | None = None, *, trusts: bool) -> dict[str, Any]:
    """What all the files say together. `trusts`: every project is trusted. Raises `ValueError`, `OSError`."""
    return _together(counted(file, known, trusts=trusts) for file in config_files(start))


def counted(file: ConfigFile, known: Known, *, trusts: bool) -> dict[str, Any]:
    """What counts of one file, with the files that it names as they are named from the current folder."""
    values = read_settings_file(file)
    if file.project is None:
        return values
    if not trusts and (found := opening(file, known)).standing != "trusted":
        values = {name: value for name, value in values.items() if name not in found.values}
    if file.is_here:
        return values
    names = {name: one.names for name, one in known.items()}
    return {name: _from(file, names.get(name.lower()), value) for name, value in values.items()}


def _from(file: ConfigFile, names: str | None, value: object) -> object:
    """A folder or a model that a project's file names, as named from the current folder."""
    if isinstance(value, Mapping):
        return {name: _from(file, names, one) for name, one in value.items()}
    if names is None or not isinstance(value, str) or not value or value.startswith("~"):
        return value
    path = file.path.parent.parent / value
    if names == "folder":
        return str(path)
    return str(path) if value.endswith(".gguf") and ":" not in value and is_file(path) else value
