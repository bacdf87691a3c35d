"""Settings as they are shown: without what looks like a key or a password, wherever that was written.

Above: `samovar config`, `samovar doctor`, messages about settings. Below: `secrecy.py`'s sign for what is
hidden. A key's place (`env:NAME`, `file:PATH`) is shown, and never looked into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from samovar.secrecy import HIDDEN

_PLACE = re.compile(r"(env|file):\S")
"""How the place of a key begins."""
_BEHIND = re.compile(
    r"(?i)((?:^|[?&;\s_-])[\w-]*(?:key|token|secret|passw(?:or)?d|auth(?:orization)?|credentials?)=)[^&#\s]+"
)
_OF_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_BEARER = re.compile(r"(?i)\b(bearer|basic|token)(\s+)\S{6,}")
_KNOWN_KEYS = re.compile(
    r"(?<![\w-])(?:[spr]k[-_]|gh[pousr]_|github_pat_|hf_|glpat-|xox[abpors]-|AIza|AKIA|ASIA|eyJ)"
    r"[A-Za-z0-9_\-.]{12,}"
)
_RANDOM = re.compile(r"(?<![\w./:\\-])[A-Za-z0-9+_-]{24,}={0,2}(?![\w./\\])")
_OPTION = re.compile(r"(?i)--?[\w-]*(?:key|token|secret|passw(?:or)?d|auth)")


def masked(text: str) -> str:
    """The text without what looks like a key or a password."""
    text = _OF_URL.sub(HIDDEN, text)
    text = _BEHIND.sub(lambda found: found[1] + HIDDEN, text)
    text = _BEARER.sub(lambda found: f"{found[1]}{found[2]}{HIDDEN}", text)
    text = _KNOWN_KEYS.sub(HIDDEN, text)
    return _RANDOM.sub(lambda found: HIDDEN if _is_random(found[0]) else found[0], text)


def _is_random(word: str) -> bool:
    """Letters of both cases and digits, mixed as no name is: many changes from one kind to another."""
    kinds = ["d" if one.isdigit() else "u" if one.isupper() else "l" for one in word if one.isalnum()]
    changes = sum(before != after for before, after in pairwise(kinds))
    return len(set(kinds)) >= 2 and "d" in kinds and changes * 4 >= len(kinds)


def masked_place(text: str) -> str:
    """Where a key is; a key itself, if somebody has written that, is hidden whole."""
    return text if _PLACE.match(text) else HIDDEN


def masked_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """A program and its arguments, without the values of options such as `--api-key`."""
    shown = []
    hides = False
    for word in words:
        shown.append(HIDDEN if hides and not word.startswith("-") else masked(word))
        hides = _OPTION.fullmatch(word) is not None
    return tuple(shown)


def shown_value(value: object) -> Any:
    """A setting's value as plain data for whoever looks: nothing in it looks like a key."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Path):
        return masked(str(value))
    if is_dataclass(value) and not isinstance(value, type):
        return shown_table(value)
    if isinstance(value, Mapping):
        return {str(name): shown_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown_value(one) for one in value]
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    return int(value) if isinstance(value, int) else masked(str(value))


def shown_table(table: Any) -> dict[str, Any]:
    """One declared executor or server: the keys that were given."""
    given: dict[str, Any] = {}
    for one in fields(table):
        value = getattr(table, one.name)
        default = one.default_factory() if callable(one.default_factory) else one.default
        if one.name == "name" or value == default:
            continue
        if one.name == "key":
            given[one.name] = masked_place(value)
        elif one.name == "headers":
            given[one.name] = {masked(name): masked_place(text) for name, text in value.items()}
        elif one.name == "command":
            given[one.name] = list(masked_words(tuple(value)))
        else:
            given[one.name] = shown_value(value)
    return given
