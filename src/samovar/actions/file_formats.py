"""Converts file contents to values and back: `as text`, `lines`, `json`, `jsonl`, `csv`, `yaml`.

Above: the actions that read and write files. Below: `expressions/formats.py`, and YAML. A text is UTF-8, or
what the mark at its beginning says, or the encoding that is asked for; never a guess.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from samovar.expressions import formats
from samovar.expressions.types import ANYTHING, TEXT, Type, list_of
from samovar.language.yaml_document import yaml_value
from samovar.language.yaml_text import yaml_text
from samovar.values import plain, to_text

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What a file may begin with, and the encoding that it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """One way to take what a file holds."""

    read: Callable[[str], object]
    """Raises `ValueError` with the end of a sentence, as the other does."""
    write: Callable[[object, str | None], str]
    """The text of a value; with the text that is there, what is to be added to it."""
    adds: bool
    """More can be added at the end."""
    type: Type


def _text(value: object, before: str | None) -> str:
    return to_text(value)


def _lines(value: object, before: str | None) -> str:
    lines = formats.lines_of(value) if isinstance(value, str) else _items(value)
    return _break(before) + formats.lines_text(lines)


def _json(value: object, before: str | None) -> str:
    return formats.json_text(value)


def _json_lines(value: object, before: str | None) -> str:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return _break(before) + formats.json_lines_text(values)


def _csv(value: object, before: str | None) -> str:
    rows = [value] if isinstance(value, Mapping) else _items(value)
    there = formats.names_of(before) if before else None
    return _break(before) + formats.rows_text(rows, there)


def _yaml(value: object, before: str | None) -> str:
    return yaml_text(plain(value))


def _items(value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise ValueError("the value is not a list")
    return list(value)


def _break(before: str | None) -> str:
    """The end of the last line, if that has none."""
    return "\n" if before and not before.endswith(("\n", "\r")) else ""


FORMATS: Mapping[str, FileFormat] = {
    "text": FileFormat(read=str, write=_text, adds=True, type=TEXT),
    "lines": FileFormat(read=formats.lines_of, write=_lines, adds=True, type=list_of(TEXT)),
    "json": FileFormat(read=formats.json_of, write=_json, adds=False, type=ANYTHING),
    "jsonl": FileFormat(read=formats.json_lines_of, write=_json_lines, adds=True, type=list_of(ANYTHING)),
    "csv": FileFormat(
        read=formats.rows_of, write=_csv, adds=True, type=list_of(Type(kinds=frozenset(("map",))))
    ),
    "yaml": FileFormat(read=yaml_value, write=_yaml, adds=False, type=ANYTHING),
}


def is_encoding(name: str) -> bool:
    """Whether it is the name of an encoding of texts."""
    try:
        codecs.lookup(name)
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def decoded(raw: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of a file, and the encoding it is in. Raises `ValueError` for bytes that are not text in
    it."""
    known = encoding or next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(known), known.removesuffix("-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        byte = raw[error.start : error.start + 1].hex()
        advice = "" if encoding else '; if it has another encoding, name it, as in encoding="latin-1"'
        raise ValueError(
            f"it is not {known.removesuffix('-sig').upper()}: byte 0x{byte} in line {line}{advice}"
        ) from None
