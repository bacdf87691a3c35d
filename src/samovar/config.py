"""The settings: one frozen value from the command line, the environment and files.

Above: `app.py` and the command line. Below: pydantic-settings. Nearer wins: flags, then `SAMOVAR_*`
variables, then the project's `.samovar/config.toml`, then the user's `config.toml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from samovar.errors import UsageError, nearest
from samovar.models.cost import KvType


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


def config_files() -> list[Path]:
    """The files that are read, the user's first (the later wins)."""
    return [user_folder() / "config.toml", Path(".samovar") / "config.toml"]


def load_settings(flags: dict[str, Any]) -> Settings:
    """The settings in force. `flags` that are None count as not given.

    Raises `UsageError` naming each wrong setting, its value, what was expected and the nearest name.
    """
    import tomllib

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise UsageError("\n".join(map(_say, error.errors()))) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        files = ", ".join(str(path) for path in config_files() if path.is_file())
        raise UsageError(f"The settings cannot be read ({files}): {error}") from error
    except OSError as error:
        raise UsageError(f"The settings cannot be read: {error}") from error


def _say(error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    if error["type"] == "extra_forbidden":
        return f"There is no setting {name!r}.{nearest(name, Settings.model_fields)}"
    return f"The setting {name} cannot be {error['input']!r}: {error['msg']}."
