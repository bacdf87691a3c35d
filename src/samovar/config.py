"""The settings: one frozen value from the command line, the environment and files.

Above: `app.py`, the doors, and actions, which find it in their context. Below: `setting.py`, `projects/`, and
pydantic-settings, which is imported when settings are loaded. Nearer wins: flags, then `SAMOVAR_*` variables,
then the project's `.samovar/config.toml`, from the current folder up to the repository's root, then the
user's `config.toml`. What a project's file opens counts only if the user trusts the project.

A setting is one field of `Settings`. Its option, its variable, its key in the files, the docs and the types
of `samovar.open()` are made from that field.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from samovar.errors import UsageError, nearest
from samovar.generation import KvType, SplitMode
from samovar.projects.config_files import config_files, is_nothing_set, reason_unread
from samovar.projects.opening import counted, written
from samovar.projects.trust import is_trusted_by_environment
from samovar.setting import Setting, setting, validated
from samovar.values import MOST_VALUE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its default. In the environment: `SAMOVAR_` and the name in capitals."""

    model: str = setting(
        "smollm2",
        "The model of prompts that do not name one: a path, `package:…`, `hf:…`, `ollama:…`, "
        "`lmstudio:…`, or a "
        "known name.",
        expected="a text: a path, package:…, hf:…, ollama:…, lmstudio:… or a known name",
        names="model",
    )
    aliases: tuple[tuple[str, str], ...] = setting(
        (),
        "Your own names for models, as a table `[aliases]` of names and references; the tables of all "
        "files are "
        "combined. In the environment `fast=hf:…,big=…`, or an object of JSON.",
        expected="a table of names and model references (in SAMOVAR_ALIASES: fast=hf:…,big=…)",
        names="model",
        reads="pairs",
        given="Mapping[str, str]",
    )
    executor: str = setting(
        "local",
        "The executor of prompts that do not name one: `local` is a model on this machine.",
        expected="the name of an executor",
    )
    context_tokens: int | None = setting(
        None,
        "Tokens in a context; unset: min(trained, 8192), fewer if the budget is small.",
        expected="a whole number, at least 256",
        option="--context",
        metavar="TOKENS",
        help="Tokens in a model's context.",
        least=256,
    )
    budget_bytes: int | None = setting(
        None,
        "Memory that models may use, as in `4GB`; unset: 80 % of what is available.",
        expected="a number of bytes, as in 4GB or 500MB",
        option="--budget",
        metavar="BYTES",
        help="Memory that models may use, as in 4GB.",
        reads="bytes",
        given="int | str",
    )
    threads: int | None = setting(
        None,
        "CPU threads of the engine; unset: one per fast physical core that this process may use, fewer for "
        "decoding while other processes are busy.",
        expected="a whole number from 1 to 1024",
        option="--threads",
        metavar="N",
        help="CPU threads of the engine.",
        least=1,
        most=1024,
    )
    gpu_layers: Literal["auto"] | int = setting(
        "auto",
        "Layers kept on the GPU, counting the output as one: `auto` means as many as fit, 0 means none.",
        expected="auto, or a whole number, at least 0",
        option="--gpu-layers",
        metavar="auto|N",
        help="Layers kept on the GPU; 0 means none.",
        least=0,
    )
    devices: tuple[str, ...] = setting(
        (),
        "GPUs to put layers on, by the engine's names, as in `CUDA0`; unset: all GPUs.",
        expected="a list of names (separated by commas in SAMOVAR_DEVICES)",
        reads="names",
        given="Sequence[str]",
    )
    split_mode: SplitMode = setting(
        "layer",
        "How a model is divided among several GPUs: `layer` puts each layer on one, `row` splits each "
        "matrix, `none` "
        "uses one GPU.",
        expected="'layer', 'row' or 'none'",
    )
    tensor_split: tuple[float, ...] = setting(
        (),
        "Each GPU's share of a model, in any unit; unset: in proportion to its free memory.",
        expected="a list of numbers, each at least 0 (separated by commas in SAMOVAR_TENSOR_SPLIT)",
        reads="names",
        given="Sequence[float]",
    )
    main_gpu: int = setting(
        0,
        "The GPU to use with the split mode `none`, counted from 0.",
        expected="a whole number, at least 0",
        least=0,
    )
    kv_type: KvType = setting(
        "f16",
        "The type of the KV cache: `q8_0` takes half the memory of `f16`, `q4_0` a quarter.",
        expected="'f16', 'q8_0' or 'q4_0'",
        option="--kv-type",
        metavar="TYPE",
        help="The type of the KV cache: f16, q8_0 or q4_0.",
    )
    tune: Literal["auto", "off"] = setting(
        "auto",
        "`auto` loads models with the settings that `samovar tune` found for them on this machine, `off` "
        "does not.",
        expected="'auto' or 'off'",
    )
    keep_alive_s: float = setting(
        300.0,
        "Seconds an idle model stays loaded when no run needs it.",
        expected="a number of seconds, at least 0",
        least=0,
    )
    cache_folder: Path | None = setting(
        None,
        "Where fetched models and snapshots are kept; unset: the user's cache folder.",
        expected="a path",
        opens=True,
        names="folder",
        given="str | Path",
    )
    snapshots_bytes: int = setting(
        2_000_000_000,
        "Disk space for evaluated prompts, so that the next process need not evaluate them again; 0 "
        "keeps none.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    snapshots_days: float = setting(
        14.0,
        "Days after which an unused evaluated prompt on disk is deleted.",
        expected="a number of days, at least 0",
        least=0,
    )
    value_bytes: int = setting(
        MOST_VALUE_BYTES,
        "The largest size of one value: a variable, an answer, a filled template, a command's output.",
        expected="a number of bytes, as in 4GB or 500MB",
        reads="bytes",
        given="int | str",
    )
    most_items: int = setting(
        10_000,
        "The most items that one `for each` goes through; a workflow's `limits: {items: …}` wins.",
        expected="a whole number, at least 1",
        least=1,
    )
    environment: tuple[str, ...] = setting(
        (),
        "Environment variables that prompts may read, as `env.NAME`; prompts see no others.",
        expected="a list of names (separated by commas in SAMOVAR_ENVIRONMENT)",
        opens=True,
        reads="names",
        given="Sequence[str]",
    )
    offline: bool = setting(
        False,
        "Never fetch a model: it must already be on this machine.",
        expected="true or false",
        option="--offline",
        help="Never fetch a model.",
    )


def settings_known() -> Mapping[str, Setting]:
    """What there is to know of each setting, by its name."""
    return {one.name: one.metadata["setting"] for one in fields(Settings)}


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
            files = InitSettingsSource(settings_cls, init_settings.init_kwargs.pop(_WRITTEN))
            return init_settings, env_settings, files

    hints = get_type_hints(Settings)
    read: dict[str, Any] = {
        one.name: (validated(hints[one.name], one.default, one.metadata["setting"]), one.default)
        for one in fields(Settings)
    }
    return create_model("Settings", __base__=Sources, **read)


def _say(name: str, error: Any, given: Mapping[str, object], start: Path | None) -> str:
    source = source_of(name, given, start)
    where = f" ({source})" if source else ""
    if error["type"] == "extra_forbidden":
        return f"There is no setting {name!r}{where}.{nearest(name, settings_known())}"
    expected = known.expected if (known := settings_known().get(name)) else error["msg"]
    return f"The setting {name} cannot be {error['input']!r}{where}: expected {expected}."


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
