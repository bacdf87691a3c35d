"""Reads keys where settings say that they are: `env:NAME`, a variable of the environment, or `file:PATH`.

Above: whoever sends a key along: executors, servers of tools; whoever hides them. Below: the file system. No
message shows a key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MOST_KEY_BYTES = 65_536
"""Of a file with a key in it."""


class NoKeyError(Exception):
    """A key cannot be read; the text is a clause that says why: `the file a.txt is empty`."""


def is_place(text: str) -> bool:
    """Whether it says where a key is, and is not the key itself."""
    way, _, place = text.partition(":")
    return way in ("env", "file") and bool(place)


def read_key(place: str, environment: Mapping[str, str] = os.environ) -> str:
    """The key at `env:NAME` or `file:PATH`, without white space around it. Raises `NoKeyError`."""
    way, _, name = place.partition(":")
    if not is_place(place):
        raise NoKeyError("it must be env:NAME or file:PATH")
    what = f"the variable {name}" if way == "env" else f"the file {name}"
    if way == "env":
        if name not in environment:
            raise NoKeyError(f"{what} is not set")
        found = environment[name]
    else:
        found = _in_file(name, what)
    if not found.strip():
        raise NoKeyError(f"{what} is empty")
    return found.strip()


def _in_file(name: str, what: str) -> str:
    try:
        path = Path(name).expanduser()
        if path.exists() and not path.is_file():  # a pipe can be read only once, and may never end
            raise NoKeyError(f"{what} is not a regular file")
        with path.open("rb") as file:
            raw = file.read(MOST_KEY_BYTES + 1)
        if len(raw) > MOST_KEY_BYTES:
            raise NoKeyError(f"{what} has more than {MOST_KEY_BYTES:,} bytes")
        return raw.decode("utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise NoKeyError(f"{what} cannot be read: {why}") from None
