"""Reads the settings: from flags, the environment and files; the nearest wins.

Above: `__init__.py`. Below: `settings.py`, `projects/`, and pydantic-settings, which is imported when
something is set. What a project's file opens counts only if the user trusts the project.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from samovar.config.masking import masked
from samovar.config.settings import Settings, settings_known
from samovar.errors import UsageError, nearest
from samovar.projects.config_files import config_files, is_nothing_set, reason_unread
from samovar.projects.opening import counted, written
from samovar.projects.trust import is_trusted_by_environment
from samovar.setting import known_keys, validated


def load_settings(flags: Mapping[str, Any], start: Path | None = None, *, trusts: bool = False) -> Settings:
    """The settings in force. `flags` that are None count as not given.

    `start`: a folder of the project whose settings count; None: the current one. `trusts`: every project
    counts as trusted. Raises `UsageError` naming each wrong setting, its value, what was expected and the
    nearest name.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    trusts = trusts or is_trusted_by_environment()
    if not given and is_nothing_set(settings_known(), start):
        return Settings()  # without what reads them, which takes a tenth of a second to import
    from pydantic import ValidationError

    try:
        files = written(settings_known(), start, trusts=trusts)
        loaded = _loader()(**given, **{_WRITTEN: files})
    except ValidationError as error:
        # If a value may be one thing or another, each says what is wrong: once is enough.
        wrong = {str(one["loc"][0]) if one["loc"] else "settings": one for one in reversed(error.errors())}
        said = [_say(name, one, given, start) for name, one in reversed(wrong.items())]
        raise UsageError("\n".join(said)) from error
    except (ValueError, OSError) as error:  # in TOML, in its encoding, with the file
        raise UsageError(reason_unread(error, start)) from error
    return Settings(**{name: getattr(loaded, name) for name in settings_known()})


_WRITTEN = "written_"
"""By this name the loader is given what the files say."""


@cache
def _loader() -> Any:
    """The settings as pydantic-settings reads them: the same fields, from all their sources."""
    from pydantic import create_model
    from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict

    class Sources(BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix="SAMOVAR_", env_ignore_empty=True, frozen=True, extra="forbid"
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: Any,
            env_settings: Any,
            dotenv_settings: Any,
            file_secret_settings: Any,
        ) -> tuple[Any, ...]:
            files = InitSettingsSource(settings_cls, init_settings.init_kwargs.pop(_WRITTEN))
            return init_settings, env_settings, files

    hints = _hints()
    read: dict[str, Any] = {
        one.name: (validated(hints[one.name], one.default, one.metadata["setting"]), one.default)
        for one in fields(Settings)
    }
    return create_model("Settings", __base__=Sources, **read)


def _hints() -> Mapping[str, Any]:
    from typing import get_type_hints

    return get_type_hints(Settings)


def _say(name: str, error: Any, given: Mapping[str, object], start: Path | None) -> str:
    source = source_of(name, given, start)
    where = f" ({source})" if source else ""
    if error["type"] == "extra_forbidden":
        return f"There is no setting {name!r}{where}.{nearest(name, settings_known())}"
    known = settings_known().get(name)
    if len(error["loc"]) > 1 and known is not None and known.reads == "tables":
        return _say_of_table(name, error, where)
    expected = known.expected if known else error["msg"]
    value = repr(error["input"])
    if known is not None and known.reads == "tables":
        value = masked(value)
    return f"The setting {name} cannot be {value}{where}: expected {expected}."


def _say_of_table(name: str, error: Any, where: str) -> str:
    """The mistake in a key of one of the tables of a setting."""
    key = str(error["loc"][-1])
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"[{name}.…] has no key {key!r}{where}.{nearest(key, known_keys(_hints()[name]))}"
    keys = ".".join(str(part) for part in error["loc"][2:])
    return f"{keys} in [{name}.…] cannot be {masked(repr(error['input']))}{where}: {error['msg']}."


def source_of(name: str, given: Mapping[str, object], start: Path | None = None) -> str | None:
    """Where the value in force comes from: an option, a variable, a file; None if it is the default.

    `given` and `start`: as for `load_settings`, without what is None.
    """
    if name in given:
        known = settings_known().get(name)
        return known.option if known else None
    variable = f"SAMOVAR_{name.upper()}"
    if any(known.upper() == variable and text for known, text in os.environ.items()):
        return variable
    trusts = is_trusted_by_environment()
    for file in reversed(config_files(start)):
        if name in counted(file, settings_known(), trusts=trusts):
            return str(file.path)
    return None
