"""The files of settings: where they are, and what they say.

Above: `config.py`, which makes settings of it; `folders.py`. Below: files. It knows no setting.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def user_folder() -> Path | None:
    """The user's own folder of settings, workflows and prompts; None for a user without a home folder."""
    import platformdirs

    try:
        folder = platformdirs.user_config_path("samovar")
    except RuntimeError:  # neither HOME nor the system knows of one
        return None
    return folder if folder.is_absolute() else None


def config_files(start: Path | None = None) -> list[Path]:
    """The files that are read, the user's first (the later wins). `start`: None is the current folder."""
    user = user_folder()
    return [*([user / "config.toml"] if user else ()), (start or Path()) / ".samovar" / "config.toml"]


def written(start: Path | None) -> dict[str, Any]:
    """What all of them say: of a table the names of all, else the later's."""
    found: dict[str, Any] = {}
    for path in config_files(start):
        for name, value in read_settings_file(path).items():
            both = isinstance(value, dict) and isinstance(found.get(name), dict)
            found[name] = found[name] | value if both else value
    return found


def read_settings_file(path: Path) -> dict[str, Any]:
    """What a file of settings says; nothing if it is not there, or in a folder that may not be entered."""
    import tomllib

    from samovar.files import exists  # which what only lists the settings does not need

    return tomllib.loads(path.read_text(encoding="utf-8-sig")) if exists(path) else {}


def reason_unread(error: Exception, start: Path | None = None) -> str:
    """Which file of settings cannot be read, and why."""
    for path in config_files(start):
        try:
            read_settings_file(path)
        except OSError as found:
            return f"The settings in {path} cannot be read: {found.strerror}."
        except ValueError as found:
            return f"The settings in {path} cannot be read: {found}."
    return f"The settings cannot be read: {error}"


def is_nothing_set(start: Path | None = None) -> bool:
    """No variable of the environment is for a setting, and there is no file of them."""
    from samovar.files import exists

    named = (name.upper().startswith("SAMOVAR_") for name in os.environ)
    return not any(named) and not any(map(exists, config_files(start)))
