"""Paths with item numbers, and their general form for every item: `Each/Write` for `Each[3]/Write`.

Above: whatever looks up what was said of a visit before it: answers to its questions, cases. Below: nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TypeVar

T = TypeVar("T")
_NUMBER = re.compile(r"\[([0-9]{1,9})\]$")
_NUMBERS = re.compile(r"\[([0-9]{1,9})\](?=/|$)")


def without_number(name: str) -> tuple[str, int | None]:
    """A name without the number of an item behind it, and that number."""
    match = _NUMBER.search(name)
    return (name, None) if match is None else (name[: match.start()], int(match[1]))


def numbers_of(path: str) -> tuple[int, ...]:
    """The numbers of all items in a path."""
    return tuple(int(match[1]) for match in _NUMBERS.finditer(path))


def ways_to_say(path: str) -> Iterator[tuple[str, int | None]]:
    """The paths under which something can be said of a visit, the nearest first.

    With each comes the number of the item that it leaves open, the innermost if there are several; None: it
    leaves none open.
    """
    found = list(_NUMBERS.finditer(path))
    for kept in sorted(product((True, False), repeat=len(found)), key=lambda one: one.count(False)):
        said, end, left = "", 0, None
        for is_kept, match in zip(kept, found, strict=True):
            said += path[end : match.end() if is_kept else match.start()]
            end = match.end()
            left = left if is_kept else int(match[1])
        yield said + path[end:], left


def said_of(path: str, said: Mapping[str, T]) -> tuple[str, T, int | None] | None:
    """The message about a visit: under which path, what, and the number of the item that this leaves open."""
    for key, number in ways_to_say(path):
        if key in said:
            return key, said[key], number
    return None


def all_of(path: str, asked: Mapping[str, Sequence[T]]) -> list[T]:
    """What was asked on all visits that a path stands for, in the order of the items."""
    if path in asked:
        return list(asked[path])
    found = [
        (numbers_of(visited), one)
        for visited, several in asked.items()
        if any(key == path for key, _ in ways_to_say(visited))
        for one in several
    ]
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def by_items(told: Mapping[str, Sequence[T]]) -> dict[str, list[T]]:
    """The same by fewer paths: what was reported once for each item is in a list for all of them."""
    groups: dict[str, dict[int, str]] = {}
    for path in told:
        if match := list(_NUMBERS.finditer(path))[-1:]:
            general = path[: match[0].start()] + path[match[0].end() :]
            groups.setdefault(general, {})[int(match[0][1])] = path
    found = {path: list(several) for path, several in told.items()}
    for general, paths in groups.items():
        is_whole = sorted(paths) == list(range(len(paths)))
        if is_whole and general not in told and all(len(told[path]) == 1 for path in paths.values()):
            place = {path: list(told).index(path) for path in paths.values()}
            first = min(paths.values(), key=place.__getitem__)
            whole = [found[paths[number]][0] for number in sorted(paths)]
            found = {
                general if path == first else path: whole if path == first else several
                for path, several in found.items()
                if path == first or path not in place
            }
    return found
