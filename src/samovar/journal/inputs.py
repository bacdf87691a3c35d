"""Digests of what a visit was performed with, so that a later run can tell whether that is the same.

Above: the runner; the members of the journal, which keep the digests. Below: plain values. A value is
written in one way whatever order its maps are in; places in files and what can be called are left out.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from samovar.errors import Place
from samovar.values import Record

_BYTES = 15
"""Of a digest: 20 characters, and 2 to the power of 60 of them before two are likely to be the same."""


def written(value: object) -> str:
    """A value as one text, for its digest: the same for equal values of the same types.

    Raises `TypeError` for what is not a plain value or a record of such.
    """
    return json.dumps(_plain(value), ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def digest_of(value: object, key: bytes | None = None) -> str:
    """The digest of a value. `key`: for one with a secret in it, so that nobody can try what it may be."""
    return digest_of_text(written(value), key)


def digest_of_text(written_value: str, key: bytes | None = None) -> str:
    """The same of a value that is written already."""
    text = written_value.encode("ascii")
    whole = hmac.new(key, text, "sha256").digest() if key is not None else hashlib.sha256(text).digest()
    return base64.urlsafe_b64encode(whole[:_BYTES]).decode("ascii")


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return ["enum", str(value.value)]
    if isinstance(value, Record):
        return ["record", str(value), _plain(dict(value._parts.items()))]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return repr(float(value)) if value != value or abs(value) == float("inf") else value
    if isinstance(value, bytes):
        return ["bytes", hashlib.sha256(value).hexdigest()]
    if isinstance(value, Path):
        return ["path", str(value)]
    if isinstance(value, Mapping):
        return ["map", sorted(([written(key), _plain(one)] for key, one in value.items()), key=_first)]
    if isinstance(value, frozenset | set):
        return ["set", sorted(written(one) for one in value)]
    if isinstance(value, list | tuple):
        return ["list", *(_plain(one) for one in value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (one.name for one in dataclasses.fields(value) if one.compare)
        named = {name: getattr(value, name) for name in fields}
        kept = {name: _plain(one) for name, one in named.items() if not _is_left_out(one)}
        return [type(value).__name__, kept]
    raise TypeError(f"A value of type {type(value).__name__} has no digest.")


def _first(pair: list[object]) -> str:
    return str(pair[0])


def _is_left_out(value: object) -> bool:
    return isinstance(value, Place) or callable(value)
