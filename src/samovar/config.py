"""The settings: one frozen value from the command line, the environment and files.

Above: `app.py`, the doors, and actions, which find it in their context. Below: pydantic-settings, which is
imported when settings are loaded. Nearer wins: flags, then `SAMOVAR_*` variables, then the project's
`.samovar/config.toml`, then the user's `config.toml`.

A setting is one field of `Settings`. Its option, its variable, its key in the files, the docs and the types
of `samovar.open()` are made from that field.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from samovar.errors import UsageError, nearest
from samovar.generation import KvType


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know of a setting besides its type and its default."""

    description: str
    """For the docs."""
    expected: str
    """What it takes, in words, for messages."""
    option: str | None = None
    """Its option of `samovar run`; None: it has none."""
    metavar: str | None = None
    """What stands for its value in `--help`; None for a flag."""
    help: str | None = None
    """For `--help`."""
    reads: Literal["bytes", "names"] | None = None
    """How a text is read, where its type does not say that: `4GB`; names with commas between them."""
    least: int | None = None
    most: int | None = None
    given: str | None = None
    """The type that `samovar.open()` takes, where it takes more than the field's own."""


def setting(default: Any, description: str, **known: Any) -> Any:
    """A field of `Settings`; `known` as in `Setting`."""
    return field(default=default, metadata={"setting": Setting(description=description, **known)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default. In the environment: `SAMOVAR_` and the name in capitals."""

    model: str = setting(
        "smollm2",
        "The model of prompts that name none: a path, `package:…`, or a known name.",
        expected="a text: a path, package:… or a known name",
    )
    executor: str = setting(
        "local",
        "Who answers prompts that name no executor: `local` is a model on this machine.",
        expected="the name of an executor",
    )
    context_tokens: int | None = setting(
        None,
        "Tokens a context holds; unset: min(trained, 8192), less where the budget is small.",
        expected="a whole number from 256 on",
        option="--context",
        metavar="TOKENS",
        help="Tokens a model's context holds.",
        least=256,
    )
    budget_bytes: int | None = setting(
        None,
        "Memory that models may take, as in `4GB`; unset: 80 % of what is available.",
        expected="a number of bytes, as in 4GB or 500MB",
        option="--budget",
        metavar="BYTES",
        help="Memory that models may take, as in 4GB.",
        reads="bytes",
        given="int | str",
    )
    threads: int | None = setting(
        None,
        "CPU threads of the engine; unset: one per core this process may use, fewer for decoding beside "
        "other busy processes.",
        expected="a whole number from 1 to 1024",
        option="--threads",
        metavar="N",
        help="CPU threads of the engine.",
        least=1,
        most=1024,
    )
    gpu_layers: Literal["auto"] | int = setting(
        "auto",
        "Layers kept on the GPU: `auto` is all of them where the engine has one, 0 is none.",
        expected="auto, or a whole number from 0 on",
        option="--gpu-layers",
        metavar="auto|N",
        help="Layers kept on the GPU; 0 is none.",
        least=0,
    )
    kv_type: KvType = setting(
        "f16",
        "What a context keeps in its cells: `q8_0` takes half of `f16`, `q4_0` a quarter.",
        expected="'f16', 'q8_0' or 'q4_0'",
        option="--kv-type",
        metavar="TYPE",
        help="What a context's cells are kept in: f16, q8_0 or q4_0.",
    )
    keep_alive_s: float = setting(
        300.0,
        "Seconds an idle model stays loaded when no run needs it.",
        expected="a number of seconds from 0 on",
        least=0,
    )
    cache_folder: Path | None = setting(
        None,
        "Where fetched models and snapshots are kept; unset: the user's cache folder.",
        expected="a path",
        given="str | Path",
    )
    snapshots_bytes: int = setting(
        2_000_000_000,
        "What evaluated prompts may take on disk, so that the next process need not evaluate them; 0 keeps "
        "nothing there.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    snapshots_days: float = setting(
        14.0,
        "Days after which an evaluated prompt on disk that was not used is deleted.",
        expected="a number of days from 0 on",
        least=0,
    )
    environment: tuple[str, ...] = setting(
        (),
        "Environment variables that prompts may read, as `env.NAME`; others are not there.",
        expected="a list of names (with commas between them in SAMOVAR_ENVIRONMENT)",
        reads="names",
        given="Sequence[str]",
    )
    offline: bool = setting(
        False,
        "Never fetch a model; it must be there already.",
        expected="true or false",
        option="--offline",
        help="Never fetch a model.",
    )


def settings_known() -> Mapping[str, Setting]:
    """What there is to know of each setting, by its name."""
    return {one.name: one.metadata["setting"] for one in fields(Settings)}


def user_folder() -> Path | None:
    """The user's own folder of settings, workflows and prompts; None for a user without a home folder."""
    import platformdirs

    try:
        folder = platformdirs.user_config_path("samovar")
    except RuntimeError:  # neither HOME nor the system knows of one
        return None
    return folder if folder.is_absolute() else None


def config_files() -> list[Path]:
    """The files that are read, the user's first (the later wins)."""
    user = user_folder()
    return [*([user / "config.toml"] if user else ()), Path(".samovar") / "config.toml"]


def load_settings(flags: Mapping[str, Any]) -> Settings:
    """The settings in force. `flags` that are None count as not given.

    Raises `UsageError` naming each wrong setting, its value, what was expected and the nearest name.
    """
    from pydantic import ValidationError

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        loaded = _loader()(**given)
    except ValidationError as error:
        # If a value may be one thing or another, each says what is wrong: once is enough.
        wrong = {str(one["loc"][0]) if one["loc"] else "settings": one for one in reversed(error.errors())}
        said = [_say(name, one, given) for name, one in reversed(wrong.items())]
        raise UsageError("\n".join(said)) from error
    except (ValueError, OSError) as error:  # in TOML, in its encoding, with the file
        raise UsageError(_unread(error)) from error
    return Settings(**{name: getattr(loaded, name) for name in settings_known()})


@cache
def _loader() -> Any:
    """The settings as pydantic-settings reads them: the same fields, from all their sources."""
    from typing import get_type_hints

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
            written: dict[str, Any] = {}
            for path in config_files():
                written.update(_read(path))
            return init_settings, env_settings, InitSettingsSource(settings_cls, written)

    hints = get_type_hints(Settings)
    read: dict[str, Any] = {
        one.name: (_validated(hints[one.name], one.default, one.metadata["setting"]), one.default)
        for one in fields(Settings)
    }
    return create_model("Settings", __base__=Sources, **read)


def _validated(kind: Any, default: object, known: Setting) -> Any:
    """The type of a setting as pydantic checks it."""
    from typing import Annotated, Optional

    from pydantic import BeforeValidator, ByteSize, Field
    from pydantic_settings import NoDecode

    if known.reads == "names":
        return Annotated[kind, NoDecode, BeforeValidator(_parted)]
    if known.reads is None and known.least is None and known.most is None:
        return kind
    number: Any = ByteSize
    if known.reads is None:
        number = Annotated[float if kind is float else int, Field(ge=known.least, le=known.most)]
    if default is None:
        return Optional[number]  # noqa: UP045  # of a type that is computed
    return Literal["auto"] | number if default == "auto" else number


def _parted(value: object) -> object:
    """A list, which the environment has as one text with commas."""
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


def _say(name: str, error: Any, given: Mapping[str, object]) -> str:
    source = _source(name, given)
    where = f" ({source})" if source else ""
    if error["type"] == "extra_forbidden":
        return f"There is no setting {name!r}{where}.{nearest(name, settings_known())}"
    known = settings_known().get(name)
    expected = known.expected if known else error["msg"]
    return f"The setting {name} cannot be {error['input']!r}{where}: expected {expected}."


def _source(name: str, given: Mapping[str, object]) -> str | None:
    """Where the value in force comes from."""
    if name in given:
        known = settings_known().get(name)
        return known.option if known else None
    variable = f"SAMOVAR_{name.upper()}"
    if any(known.upper() == variable and text for known, text in os.environ.items()):
        return variable
    return next((str(path) for path in reversed(config_files()) if name in _read(path)), None)


def _read(path: Path) -> dict[str, Any]:
    """What a file of settings says; nothing if it is not there, or in a folder that may not be entered."""
    import tomllib

    from samovar.files import exists  # which what only lists the settings does not need

    return tomllib.loads(path.read_text(encoding="utf-8-sig")) if exists(path) else {}


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
