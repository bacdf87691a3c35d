"""The settings from files that count: some need the user's trust.

Above: `config/`, which makes settings of it; the doors, which say what does not count. Below:
`config_files.py`, `trust.py`. Which settings there are is passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.errors import UsageError
from samovar.files import is_file
from samovar.projects import trust
from samovar.projects.config_files import CONFIG_FILE, ConfigFile, config_files, read_settings_file
from samovar.setting import Setting

Known = Mapping[str, Setting]
"""The settings that there are, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a project's file of settings opens."""

    file: ConfigFile
    values: Mapping[str, object]
    """By name as written; only settings that open something."""
    standing: trust.Standing
    """The user's trust in them."""

    @property
    def digest(self) -> str:
        return trust.digest(self.values)

    @property
    def line(self) -> str:
        """Which settings do not count, why, and what to do."""
        do = "does" if len(self.values) == 1 else "do"
        until = "again, since they have changed" if self.standing == "changed" else "the folder"
        command = "samovar trust" if self.file.is_here else f"samovar trust {self.file.path.parent.parent}"
        return (
            f"{self.file.path}: {', '.join(self.values)} {do} not count until you trust "
            f"{until}: `{command}` shows them, and asks."
        )


def opening(file: ConfigFile, known: Known) -> Opening:
    """What a project's file opens, and whether the user has trusted it so. Raises `ValueError`, `OSError`."""
    assert file.project is not None
    written = read_settings_file(file.path)
    # The case of a name does not matter to what reads the settings.
    values = {name: value for name, value in written.items() if _opens(known.get(name.lower()))}
    return Opening(file=file, values=values, standing=trust.standing(file.project, trust.digest(values)))


def _opens(known: Setting | None) -> bool:
    return known is not None and known.opens


def opening_of(folder: Path, known: Known) -> Opening:
    """The same of a project's folder. Raises `UsageError` for a file that cannot be read."""
    file = ConfigFile(path=folder / CONFIG_FILE, project=folder)
    try:
        return opening(file, known)
    except (ValueError, OSError) as error:
        raise UsageError(f"The settings in {file.path} cannot be read: {error}.") from error


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
    together: dict[str, Any] = {}
    for file in config_files(start):
        for name, value in counted(file, known, trusts=trusts).items():
            both = isinstance(value, dict) and isinstance(together.get(name), dict)
            together[name] = together[name] | value if both else value
    return together


def counted(file: ConfigFile, known: Known, *, trusts: bool) -> dict[str, Any]:
    """What counts of one file, with the files that it names as named from the current folder."""
    values = read_settings_file(file.path)
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
