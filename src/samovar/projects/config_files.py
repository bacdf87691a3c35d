"""The files of settings: their places and their content.

Above: `config/`, which makes settings of it. Below: `places.py`, `older_files.py`, files. It knows no
setting.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.files import exists
from samovar.projects.older_files import older_files, read_older
from samovar.projects.places import levels, user_folder

CONFIG_FILE = Path(".samovar") / "config.toml"
"""The settings file of a project, below each of its folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A file of settings that may be there."""

    path: Path
    """As it is shown: of a project's file, from the current folder."""
    project: Path | None = None
    """The project's folder that it is for; None: it is the user's own."""
    is_here: bool = False
    """It is the current folder's."""
    is_older: bool = False
    """It is one of the older tool."""


def config_files(start: Path | None = None) -> list[ConfigFile]:
    """The files that are read, the user's first (the later wins), then the project's from its root on.

    Those of the older tool that are there come before all others of the project. `start`: a folder of the
    project; None: the current one.
    """
    user = user_folder()
    own = [ConfigFile(path=user / "config.toml")] if user else []
    project = [file for folder in reversed(_levels(start)) for file in files_of(*folder)]
    return [*own, *sorted(project, key=lambda file: not file.is_older)]


def files_of(shown: Path, project: Path, is_here: bool = False) -> list[ConfigFile]:
    """Those of one folder of a project, the nearest last. `shown`: the folder as it is shown."""
    older = [
        ConfigFile(path=shown / path.relative_to(project), project=project, is_here=is_here, is_older=True)
        for path in older_files(project)
    ]
    return [*older, ConfigFile(path=shown / CONFIG_FILE, project=project, is_here=is_here)]


def _levels(start: Path | None) -> list[tuple[Path, Path, bool]]:
    """What `files_of` takes, the nearest folder first."""
    if start is not None:
        return [(folder, folder, False) for folder in levels(start)]
    try:
        here = Path.cwd()
    except OSError:  # the folder was deleted, or may not be asked for: whoever needs it says so
        return [(Path(), Path(), True)]
    return [(Path(*[".."] * up), folder, up == 0) for up, folder in enumerate(levels(here))]


def read_settings_file(file: ConfigFile) -> dict[str, Any]:
    """What a file of settings says; nothing if it is not there, or in a folder that may not be entered.

    Raises `ValueError`, `OSError`.
    """
    import tomllib

    if not exists(file.path):
        return {}
    if file.is_older:
        return dict(read_older(file.path).values)
    return tomllib.loads(file.path.read_text(encoding="utf-8-sig"))


def reason_unread(error: Exception, start: Path | None = None) -> str:
    """Which file of settings cannot be read, and why."""
    for file in config_files(start):
        try:
            read_settings_file(file)
        except OSError as found:
            return f"The settings in {file.path} cannot be read: {found.strerror}."
        except ValueError as found:
            return f"The settings in {file.path} cannot be read: {found}."
    return f"The settings cannot be read: {error}"


def is_nothing_set(names: Collection[str], start: Path | None = None) -> bool:
    """No variable of the environment is for a setting of these names, and there is no file of them."""
    variables = {f"SAMOVAR_{name.upper()}" for name in names}
    named = (name.upper() in variables for name in os.environ)
    return not any(named) and not any(exists(file.path) for file in config_files(start))
