"""The settings: one frozen value from the command line, the environment and files.

Above: `app.py` and the command line. Below: pydantic-settings. Nearer wins: flags, then `SAMOVAR_*`
variables, then the project's `.samovar/config.toml`, then the user's `config.toml`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from samovar.errors import UsageError, nearest
from samovar.models.cost import KvType


def _parted(value: object) -> object:
    """A list, which the environment has as one text with commas."""
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Every setting, with its default. In the environment: `SAMOVAR_` and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SAMOVAR_", frozen=True, extra="forbid")

    model: str = Field(
        "smollm2", description="The model of prompts that name none: a path, `package:…`, or a known name."
    )
    context_tokens: Annotated[int, Field(ge=256)] | None = Field(
        None,
        description="Tokens a context holds; unset: min(trained, 8192), less where the budget is small.",
    )
    gpu_layers: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description="Layers kept on the GPU: `auto` is all of them where the engine has one, 0 is none.",
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None,
        description="CPU threads of the engine; unset: one per core this process may use, "
        "fewer for decoding beside other busy processes.",
    )
    kv_type: KvType = Field(
        "f16", description="What a context keeps in its cells: `q8_0` takes half of `f16`, `q4_0` a quarter."
    )
    budget_bytes: ByteSize | None = Field(
        None,
        description="Memory that models may take, as in `4GB`; unset: 80 % of what is available.",
    )
    keep_alive_s: Annotated[float, Field(ge=0)] = Field(
        300.0, description="Seconds an idle model stays loaded when no run needs it."
    )
    cache_folder: Path | None = Field(
        None, description="Where fetched models and snapshots are kept; unset: the user's cache folder."
    )
    snapshots_bytes: ByteSize = Field(
        ByteSize(2_000_000_000),
        description="What evaluated prompts may take on disk, so that the next process need not evaluate "
        "them; 0 keeps nothing there.",
    )
    environment: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parted)] = Field(
        (), description="Environment variables that prompts may read, as `env.NAME`; others are not there."
    )
    offline: bool = Field(False, description="Never fetch a model; it must be there already.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_files())


def user_folder() -> Path:
    """The user's own folder of settings, workflows and prompts."""
    import platformdirs

    return platformdirs.user_config_path("samovar")


def surroundings(settings: Settings, folder: Path) -> dict[str, object]:
    """What prompts may read besides variables: `cwd`, `working_directory`, and `env` with what is allowed."""
    allowed = {name: os.environ[name] for name in settings.environment if name in os.environ}
    return {"cwd": str(folder), "working_directory": str(folder), "env": allowed}


def config_files() -> list[Path]:
    """The files that are read, the user's first (the later wins)."""
    return [user_folder() / "config.toml", Path(".samovar") / "config.toml"]


def load_settings(flags: dict[str, Any]) -> Settings:
    """The settings in force. `flags` that are None count as not given.

    Raises `UsageError` naming each wrong setting, its value, what was expected and the nearest name.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        # Of a value that may be one thing or another, each says what is wrong: once is enough.
        wrong = {str(one["loc"][0]) if one["loc"] else "settings": one for one in reversed(error.errors())}
        said = [_say(name, one, given) for name, one in reversed(wrong.items())]
        raise UsageError("\n".join(said)) from error
    except (ValueError, OSError) as error:  # of TOML, of its encoding, of the file
        raise UsageError(_unread(error)) from error


_OPTIONS = {
    "context_tokens": "--context",
    "budget_bytes": "--budget",
    "gpu_layers": "--gpu-layers",
    "kv_type": "--kv-type",
    "threads": "--threads",
}
"""What a setting is called on the command line, where its name is another."""
_BYTES = "a number of bytes, as in 4GB or 500MB"
_EXPECTED = {
    "context_tokens": "a whole number from 256 on",
    "gpu_layers": "auto, or a whole number from 0 on",
    "threads": "a whole number from 1 to 1024",
    "kv_type": "'f16', 'q8_0' or 'q4_0'",
    "budget_bytes": _BYTES,
    "keep_alive_s": "a number of seconds from 0 on",
    "snapshots_bytes": _BYTES,
    "environment": "a list of names (with commas between them in SAMOVAR_ENVIRONMENT)",
    "offline": "true or false",
    "model": "a text: a path, package:… or a known name",
    "cache_folder": "a path",
}
"""What each setting takes, in words."""


def _say(name: str, error: Any, given: Mapping[str, object]) -> str:
    source = _source(name, given)
    if error["type"] == "extra_forbidden":
        where = f" ({source})" if source else ""
        return f"There is no setting {name!r}{where}.{nearest(name, Settings.model_fields)}"
    where = f" ({source})" if source else ""
    expected = _EXPECTED.get(name, error["msg"])
    return f"The setting {name} cannot be {error['input']!r}{where}: expected {expected}."


def _source(name: str, given: Mapping[str, object]) -> str | None:
    """Where the value in force comes from."""
    if name in given:
        return _OPTIONS.get(name)
    variable = f"SAMOVAR_{name.upper()}"
    if any(known.upper() == variable for known in os.environ):
        return variable
    return next((str(path) for path in reversed(config_files()) if name in _read(path)), None)


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _unread(error: Exception) -> str:
    """Which file of settings cannot be read, and why."""
    for path in config_files():
        try:
            _read(path)
        except OSError as found:
            return f"The settings in {path} cannot be read: {found.strerror}."
        except ValueError as found:
            return f"The settings in {path} cannot be read: {found}."
    return f"The settings cannot be read: {error}"
