"""`samovar config`: each setting with its value and where that came from, and what does not count, and why.

Above: the commands of `of_setup.py`. Below: the settings, their origins, and what hides keys in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put
from samovar.config import Settings, load_settings, settings_known
from samovar.config.known_keys import secrets_of
from samovar.config.masking import masked, shown_value
from samovar.config.origins import Origins, files_there, read_origins
from samovar.config.strange_variables import strange_variables
from samovar.errors import NotFoundError
from samovar.projects.opening import Opening, uncounted
from samovar.values.secrecy import Secrets

TABLES = ("pairs", "tables")
"""How settings are read whose rows may come from several files."""
UNSET = "unset"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """Where all is written that is shown, without the keys that settings name."""

    hidden: Secrets

    def put(self, text: str) -> None:
        put(self.hidden.mask(text))

    def write_json(self, value: Mapping[str, Any]) -> None:
        write_json({name: self.hidden.copy_values(one) for name, one in value.items()})


def show_settings(name: str | None, *, as_json: bool) -> int:
    """All settings, or one of them with all there is to know of it."""
    settings, origins = load_settings({}), read_origins()
    out = _Output(hidden=secrets_of(settings))
    if name is not None:
        return _show_one(name.lower(), settings, origins, out, as_json=as_json)
    closed = uncounted(settings_known())
    if as_json:
        out.write_json(
            {
                "settings": [_object(one, settings, origins) for one in settings_known()],
                "files": [str(file.path) for file in files_there()],
                "not_counted": [_closed_object(one) for one in closed],
                "notes": list(origins.notes),
                "not_read": list(strange_variables()),
            }
        )
        return 0
    lines = [line for one in settings_known() for line in _lines(one, settings, origins)]
    _put_columns(lines, out)
    _put_closed(closed, origins.notes, out)
    return 0


def _object(name: str, settings: Settings, origins: Origins) -> dict[str, Any]:
    value = getattr(settings, name)
    row: dict[str, Any] = {"name": name, "source": origins.of(name)}
    if settings_known()[name].reads in TABLES:
        row["value"] = {key: one for key, one, _ in _rows(name, value, origins)}
        row["sources"] = {key: source for key, _, source in _rows(name, value, origins)}
    else:
        row["value"] = shown_value(value)
    return row


def _rows(name: str, value: Iterable[Any], origins: Origins) -> list[tuple[str, Any, str]]:
    """The rows of a table: each with its name, what it says, and its source."""
    if settings_known()[name].reads == "pairs":
        return [(key, masked(str(one)), origins.of_row(name, key)) for key, one in value]
    return [(one.name, shown_value(one), origins.of_row(name, one.name)) for one in value]


def _lines(name: str, settings: Settings, origins: Origins) -> list[tuple[str, str, str]]:
    """Of a setting: its name, its value, where it came from; a table has a line for each row."""
    value = getattr(settings, name)
    if settings_known()[name].reads not in TABLES or not value:
        return [(name, _text(None if value == () else shown_value(value)), origins.of(name))]
    return [(f"{name}.{key}", _text(one), source) for key, one, source in _rows(name, value, origins)]


def _text(value: Any) -> str:
    """As a file of settings would have it, on one line."""
    if value is None:
        return UNSET
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_text(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _put_columns(lines: list[tuple[str, str, str]], out: _Output) -> None:
    left = max(len(name) for name, _, _ in lines)
    wide = min(48, max(len(value) for _, value, _ in lines))
    out.put(
        "".join(f"{shown(f'{name:<{left}}  {value:<{wide}}  {source}')}\n" for name, value, source in lines)
    )


def _put_closed(closed: list[Opening], notes: Iterable[str], out: _Output) -> None:
    for one in closed:
        out.put(f"\nDoes not count: {shown(one.line)}\n")
        for name, value in one.values.items():
            out.put(f"  {shown(f'{name} = {_text(_shown_written(value))}')}\n")
    for note in notes:
        out.put(f"\nNot taken over: {shown(note)}\n")
    for sentence in strange_variables().values():
        out.put(f"\nNot read: {shown(sentence)}\n")


def _shown_written(value: object, key: str = "") -> Any:
    """What a file says, before anything was read of it, without keys."""
    if isinstance(value, Mapping):
        return {masked(str(name)): _shown_written(one, str(name).lower()) for name, one in value.items()}
    if key == "key" and isinstance(value, str) and not value.startswith(("env:", "file:")):
        return "***"
    return shown_value(value)


def _closed_object(one: Opening) -> dict[str, Any]:
    return {
        "file": str(one.file.path),
        "values": {name: _shown_written(value) for name, value in one.values.items()},
        "why": one.standing,
        "command": one.command,
    }


def _show_one(name: str, settings: Settings, origins: Origins, out: _Output, *, as_json: bool) -> int:
    name, _, row = name.partition(".")
    known = settings_known().get(name)
    if known is None:
        raise NotFoundError("setting", name, settings_known())
    found = _object(name, settings, origins)
    if row:
        if row not in found.get("sources", {}):
            raise NotFoundError(f"row of {name}", row, found.get("sources", {}))
        found |= {"value": found["value"][row], "source": found.pop("sources")[row], "name": f"{name}.{row}"}
    said = [one for one in uncounted(settings_known()) if name in (key.lower() for key in one.values)]
    if as_json:
        about: dict[str, Any] = {
            "description": known.description,
            "expected": known.expected,
            "option": known.option,
        }
        about |= {"variable": f"SAMOVAR_{name.upper()}", "opens": known.opens}
        about |= {"overridden": list(origins.others(name))}
        about |= {"not_counted": [_closed_object(one) for one in said]}
        out.write_json(found | about)
        return 0
    lines = (
        [(found["name"], _text(found["value"]), found["source"])] if row else _lines(name, settings, origins)
    )
    _put_columns(lines, out)
    ways = ", ".join(
        one for one in (known.option, f"SAMOVAR_{name.upper()}", f"{name} in config.toml") if one
    )
    out.put(f"\n{shown(known.description)}\nExpected: {shown(known.expected)}.\nSet by: {ways}.\n")
    if known.reads not in TABLES and (overridden := origins.others(name)):
        out.put(f"Also said, and overridden: {shown(', '.join(overridden))}.\n")
    _put_closed(said, (), out)
    return 0
