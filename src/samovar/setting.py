"""The metadata of one setting, in a field of the settings.

Above: `config/`, whose fields these are; the command line and the docs, which are made from them. Below:
pydantic, which is imported when settings are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know of a setting besides its type and its default."""

    description: str
    """For the docs."""
    expected: str
    """What it takes, in words, for messages."""
    option: str | None = None
    """Its option of `samovar run`; None: it has none."""
    flag: str | None = None
    """The value that its option gives it, if that is a flag."""
    metavar: str | None = None
    """What stands for its value in `--help`; None for a flag."""
    help: str | None = None
    """For `--help`."""
    reads: Literal["bytes", "names", "pairs", "tables"] | None = None
    """How a text is read, if its type does not say that: `4GB`; names with commas between them;
    `name=value` with commas between them, or an object of JSON; tables by name, or an object of JSON."""
    least: int | None = None
    most: int | None = None
    opens: bool = False
    """It lets something out or in: what others may read, where files go, what is reached or started. In a
    project's file it counts only if the user trusts the project."""
    names: Literal["folder", "model"] | None = None
    """What is named relative to the folder of a project whose file says it: a folder, or a model's file that
    is there."""
    given: str | None = None
    """The type that `samovar.open()` takes, if it takes more than the field's own."""


def setting(default: Any, description: str, **known: Any) -> Any:
    """A field of `Settings`; `known` as in `Setting`."""
    return field(default=default, metadata={"setting": Setting(description=description, **known)})


def validated(kind: Any, default: object, known: Setting) -> Any:
    """The type of a setting as pydantic checks it."""
    from typing import Annotated, Optional

    from pydantic import AfterValidator, BeforeValidator, ByteSize, Field
    from pydantic_settings import NoDecode

    if known.reads == "names":
        return Annotated[kind, NoDecode, BeforeValidator(_parted)]
    if known.reads == "pairs":
        return Annotated[kind, NoDecode, BeforeValidator(_paired)]
    if known.reads == "tables":
        return Annotated[kind, NoDecode, BeforeValidator(_tabled)]
    if known.reads is None and known.least is None and known.most is None:
        return kind
    number: Any = Annotated[ByteSize, AfterValidator(int)]  # parts of Python take no subclass
    if known.reads is None:
        number = Annotated[float if kind is float else int, Field(ge=known.least, le=known.most)]
    if default is None:
        return Optional[number]  # noqa: UP045  # of a type that is computed
    return Literal["auto"] | number if default == "auto" else number


def _parted(value: object) -> object:
    """A list, which the environment has as one text with commas."""
    return [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value


def _paired(value: object) -> object:
    """The pairs of a table, which the environment has as one text. Raises `ValueError`."""
    import json

    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, str):
        parts = [one.partition("=") for one in value.split(",") if one.strip()]
        if not all(equals for _, equals, _ in parts):
            raise ValueError("not name=value")
        value = {name.strip(): text.strip() for name, _, text in parts}
    return tuple(value.items()) if isinstance(value, Mapping) else value


def _tabled(value: object) -> object:
    """Tables by name, each with its name among its keys. Raises `ValueError`."""
    import json

    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, Mapping):
        return value
    if wrong := next((name for name, table in value.items() if not isinstance(table, Mapping)), None):
        raise ValueError(f"{wrong} is not a table")
    return tuple({**table, "name": name} for name, table in value.items())


def known_keys(kind: Any) -> tuple[str, ...]:
    """The keys that each table of a setting may have; none if it is not made of tables."""
    from dataclasses import fields, is_dataclass
    from typing import get_args

    tables = [one for one in get_args(kind) if is_dataclass(one)]
    return tuple(one.name for table in tables for one in fields(table) if one.name != "name")
