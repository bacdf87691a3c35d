"""The folder of a program's app: its settings, and the models that they name.

Above: `api.py`. Below: the settings and their files. Without a folder everything is as the settings say it,
which counts relative paths from the current folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from samovar.config import Settings, load_settings
from samovar.errors import UsageError
from samovar.files import is_folder
from samovar.language.model_names import beside


def home_of(call: str, folder: str | Path | None, above: Path | None = None) -> Path | None:
    """The folder, whole; None if none is named. `above`: what a relative one begins in.

    Raises `UsageError` if it is not there.
    """
    if folder is None:
        return above
    path = (above or Path()).joinpath(folder).absolute()
    if not is_folder(path):
        raise UsageError(f"folder of {call} cannot be {str(folder)!r}: there is no such folder.")
    return path


def settings_at(home: Path | None, given: Mapping[str, Any], *, trusts: bool) -> Settings:
    """The settings of an app that is at home there. Raises `UsageError`."""
    settings = load_settings(given, home, trusts=trusts)
    if home is None:
        return settings
    cache = settings.cache_folder
    return replace(
        settings,
        model=beside(home, settings.model),
        aliases=tuple((name, beside(home, reference)) for name, reference in settings.aliases),
        cache_folder=None if cache is None else home / cache,
    )
