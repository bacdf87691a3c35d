"""Values of a run as JSON and back, without loss: what a journal keeps must be what the run had.

Above: the members of the journal. Below: the records whose types are named here. What JSON has stays as it
is; everything else is a map whose key `$` names its type. No name leads to anything but these types, so that
a damaged file can build nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from samovar.errors import JournalError, Place
from samovar.events import NOTHING, Caller, PromptFigures, RunError
from samovar.generation import (
    Begun,
    FinishReason,
    KeptState,
    Message,
    MessagePart,
    Options,
    Sampling,
    TokenCounts,
    ToolCall,
    ToolDefinition,
)
from samovar.journal.base import (
    Charges,
    Exchange,
    ForkEnds,
    KeptEnd,
    LoadWait,
    Performed,
    RunHead,
    RunOrigin,
    VisitKey,
    VisitOutcome,
)
from samovar.journal.people import KeptQuestion
from samovar.journal.row_key import RowKey
from samovar.values import Record
from samovar.values.certainty import Answered, ChosenValue

TYPE = "$"
_RECORDS: Mapping[str, type] = {
    one.__name__: one
    for one in (
        Begun,
        Caller,
        Charges,
        ChosenValue,
        Exchange,
        ForkEnds,
        KeptEnd,
        KeptQuestion,
        KeptState,
        LoadWait,
        Message,
        MessagePart,
        Options,
        Performed,
        RunOrigin,
        Place,
        PromptFigures,
        RowKey,
        RunError,
        RunHead,
        Sampling,
        TokenCounts,
        ToolCall,
        ToolDefinition,
        VisitKey,
        VisitOutcome,
    )
}
_WORDS: Mapping[str, type[StrEnum]] = {one.__name__: one for one in (FinishReason,)}


APART_CHARS = 500
"""A text from here on is kept apart, where it is kept once however many values have it."""
Apart = Callable[[str], str]
"""Keeps a text apart and gives its digest; or gives the text of a digest."""


def to_json(value: object, apart: Apart | None = None) -> str:
    """A value as one text. Raises `JournalError` for a value of a type that is not known here.

    `apart`: keeps its long texts apart.
    """
    plain = _plain(value)
    return written(plain if apart is None else _cut(plain, apart))


def written(plain: object) -> str:
    """What JSON has, as one text of ASCII."""
    return json.dumps(plain, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str | bytes, apart: Apart | None = None) -> Any:
    """The value of such a text. Raises `JournalError` for any other text. `apart`: finds its long texts."""

    def whole(found: dict[str, Any]) -> Any:
        return apart(found["is"]) if apart is not None and found.get(TYPE) == _APART else found

    try:
        return _value(json.loads(text, object_hook=None if apart is None else whole))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise JournalError(f"A value in the journal cannot be read: {error}.") from error


_APART = "text"
"""The type of what is in place of a text that is kept apart."""


def _cut(plain: Any, apart: Apart) -> Any:
    if isinstance(plain, str):
        return {TYPE: _APART, "is": apart(plain)} if len(plain) >= APART_CHARS else plain
    if isinstance(plain, list):
        return [_cut(one, apart) for one in plain]
    if isinstance(plain, dict):
        return {key: _cut(one, apart) for key, one in plain.items()}
    return plain


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if value is NOTHING:
        return {TYPE: "nothing"}
    if isinstance(value, StrEnum):
        return {TYPE: type(value).__name__, "is": value.value}
    if isinstance(value, Record):
        return _record(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {TYPE: "float", "is": str(value)}
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, tuple | frozenset):
        kind = "tuple" if isinstance(value, tuple) else "set"
        return {TYPE: kind, "is": [_plain(one) for one in value]}
    if isinstance(value, Path):
        return {TYPE: "path", "is": str(value)}
    if type(value).__name__ in _RECORDS:
        return _fields(value)
    raise JournalError(f"A value of type {type(value).__name__} cannot be kept in the journal.")


def _map(value: Mapping[Any, object]) -> Any:
    if TYPE not in value and all(type(key) is str for key in value):
        return {key: _plain(one) for key, one in value.items()}
    return {TYPE: "map", "is": [[_plain(key), _plain(one)] for key, one in value.items()]}


def _record(value: Record) -> Any:
    parts = {name: one for name, one in value._parts.items() if name not in ("text", "json")}
    plain = {TYPE: "record", "text": str(value), "parts": _plain(parts)}
    if isinstance(value, Answered):
        return {**plain, TYPE: "answered", "chosen": _plain(value.chosen)}
    return plain


def _fields(value: Any) -> Any:
    """Those that are not as they are by themselves."""
    kind: Any = type(value)
    found = {TYPE: kind.__name__}
    for name, default in _defaults(kind).items():
        one = getattr(value, name)
        if default is dataclasses.MISSING or type(one) is not type(default) or one != default:
            found[name] = _plain(one)
    return found


@cache
def _defaults(kind: Any) -> Mapping[str, object]:
    return {
        one.name: one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
        for one in dataclasses.fields(kind)
        if one.init
    }


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(one) for one in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain.get(TYPE)
    if kind is None:
        return {key: _value(one) for key, one in plain.items()}
    if kind in _RECORDS:
        known = _defaults(_RECORDS[kind])  # what a later version wrote besides is passed over
        return _RECORDS[kind](**{name: _value(one) for name, one in plain.items() if name in known})
    if kind in _WORDS:
        return _WORDS[kind](plain["is"])
    return _BY_KIND[kind](plain)


def _answered(plain: Any) -> Answered:
    return Answered(plain["text"], _value(plain["parts"]), _value(plain["chosen"]))


_BY_KIND: Mapping[str, Any] = {
    "nothing": lambda plain: NOTHING,
    "float": lambda plain: float(plain["is"]),
    "tuple": lambda plain: tuple(_value(one) for one in plain["is"]),
    "set": lambda plain: frozenset(_value(one) for one in plain["is"]),
    "map": lambda plain: {_value(key): _value(one) for key, one in plain["is"]},
    "path": lambda plain: Path(plain["is"]),
    "record": lambda plain: Record(plain["text"], _value(plain["parts"])),
    "answered": _answered,
}
