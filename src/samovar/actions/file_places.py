"""The places of an action's files: the part its author wrote, and the names that values may add below it.

Above: the actions that read, write and find files, and anyone who does so for them. Below: templates. The
path up to the first value is its author's, who may write any. What a value names is below that: no `..`, no
absolute path, and no link there is followed (`file_system.py`). A value that the user chose (`OwnPath`) is as
good as written.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from samovar.actions.given import Value
from samovar.actions.scanner import Scanner
from samovar.errors import Fault, FileError, Place
from samovar.expressions.chosen_paths import FoundPath, OwnPath
from samovar.language.pieces import Piece
from samovar.values import to_text

LONGEST_NAME_BYTES = 255
LONGEST_PATH_BYTES = 4000
DEEPEST = 64
"""Folders within one another, for somebody who may not leave a folder."""
_ANY_DEPTH = "**"
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One file."""

    folder: Path
    """The author's part; links in it are followed."""
    below: tuple[str, ...]
    """The names of folders below it, and that of the file. No link among them is followed."""
    shown: str
    """The path as written, with its values."""
    is_own: bool = False
    """No value is in it: it may be read through a link."""

    @property
    def path(self) -> Path:
        return self.folder.joinpath(*self.below)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Files by a pattern. `*`, `?` and `[…]` are of one name, `**` of any number of folders."""

    folder: Path
    """The author's part, up to the first name with a pattern or a value; links in it are followed."""
    shown: str
    """That part as written; each file that is found begins with it."""
    below: tuple[str, ...]
    """A pattern for each name below it."""
    pattern: str
    """All of it, for messages."""

    def begin(self) -> frozenset[int]:
        """The places in `below` that a path can be at, before its first name."""
        return self._closed({0})

    def step(self, places: frozenset[int], name: str) -> frozenset[int]:
        """The places behind one more name; none: nothing below it can be meant."""
        found = set[int]()
        for place in places:
            if place == len(self.below):
                continue
            one = self.below[place]
            if one == _ANY_DEPTH:
                found |= set() if name.startswith(".") else {place}
            elif _is_meant(one, name):
                found.add(place + 1)
        return self._closed(found)

    def is_found(self, places: frozenset[int]) -> bool:
        """Whether a file whose last name led here is meant."""
        return len(self.below) in places

    def _closed(self, places: set[int]) -> frozenset[int]:
        found = set(places)
        for place in sorted(places):
            while place < len(self.below) and self.below[place] == _ANY_DEPTH:
                place += 1
                found.add(place)
        return frozenset(found)


def _is_meant(pattern: str, name: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _compiled(pattern).match(name) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def target_of(value: Value, variables: Mapping[str, object], folder: Path) -> Target:
    """The file that an action names. Raises `FileError` for what leads out of the author's part."""
    own, rest = _parted(value, variables)
    shown = own + rest
    _check_text(shown, value.place)
    is_own = not rest
    own, last = _cut(own)
    names = tuple(_split(last + rest))
    for name in names:
        _check_name(name, shown, own, value.place)
    return Target(folder=folder / own, below=names, shown=shown, is_own=is_own)


def search_of(value: Value, variables: Mapping[str, object], folder: Path) -> Search:
    """What an action looks for; patterns are the author's, and values stand for themselves."""
    own, rest = "", None
    has_own = value.template.outline is not None
    for piece in value.template.hold(variables):
        free, held = _text(piece)
        magic = _MAGIC.search(free) if isinstance(piece, str) else None
        if rest is not None or not has_own:
            rest = (rest or "") + (free if isinstance(piece, str) else glob.escape(free + held))
        elif magic or held:
            begin = magic.start() if magic else len(free)
            own, rest = _cut(own + free[:begin])
            rest = glob.escape(rest) + free[begin:] + glob.escape(held)
        else:
            own += free
    if rest is None:
        own, rest = _cut(own)
        rest = glob.escape(rest)
    pattern = own + rest
    _check_text(pattern, value.place)
    names = tuple(_split(rest))
    for name in names:
        _check_name(name, pattern, own, value.place)
    return Search(folder=folder / own, shown=own, below=names, pattern=pattern)


def target_below(text: str, folder: Path, place: Place) -> Target:
    """The file below a folder that somebody named who may not leave it, as a model. Raises `FileError`."""
    names = _names_below(text, place)
    return Target(folder=folder, below=names, shown="/".join(names))


def search_below(pattern: str, folder: Path, place: Place) -> Search:
    """What is meant by a pattern of somebody who may not leave a folder. Raises `FileError`."""
    names = _names_below(pattern, place)
    return Search(folder=folder, shown="", below=names, pattern="/".join(names))


def _names_below(text: str, place: Place) -> tuple[str, ...]:
    _check_text(text, place)
    while text.startswith("./"):
        text = text[2:]
    names = tuple(_split(text))
    if len(names) > DEEPEST or len(os.fsencode(text)) > LONGEST_PATH_BYTES:
        raise FileError(
            f"The path {_brief(text)!r} is too long, or leads through too many folders.", place=place
        )
    for name in names:
        _check_name(name, text, "", place)
    return names


def _text(piece: Piece) -> tuple[str, str]:
    """Its text: what its author or the user chose, and what is behind that."""
    if isinstance(piece, str):
        return piece, ""
    text = to_text(piece.value)
    if isinstance(piece.value, FoundPath):
        return text[: piece.value.folder_chars], text[piece.value.folder_chars :]
    return (text, "") if isinstance(piece.value, OwnPath) else ("", text)


def _parted(value: Value, variables: Mapping[str, object]) -> tuple[str, str]:
    """The part before the first value that may not name what it likes, and the rest."""
    own, rest, is_own = "", "", value.template.outline is not None
    for piece in value.template.hold(variables):
        free, held = _text(piece)
        own, rest = (own + free, rest + held) if is_own else (own, rest + free + held)
        is_own = is_own and not rest
    return own, rest


def _cut(text: str) -> tuple[str, str]:
    """The folders of a path, and what is behind them."""
    at = text.rfind("/") + 1
    return text[:at], text[at:]


def _split(text: str) -> list[str]:
    return re.split(r"[/\\]", text) if os.name == "nt" else text.split("/")


def _check_text(text: str, place: Place) -> None:
    if "\0" in text:
        raise FileError("A path cannot contain a NUL character.", place=place)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise FileError("A path cannot contain half a character.", place=place) from None


def _check_name(name: str, shown: str, own: str, place: Place) -> None:
    said = f"The path {_brief(shown)!r}"
    if not name:
        where = "starts at the root" if shown.startswith("/") else "has an empty name"
        raise FileError(f"{said} {where}, but it must name something below {own or './'!r}.", place=place)
    if name in (".", ".."):
        raise FileError(
            f"{said} has {name!r}, but only paths below {own or './'!r} are allowed.", place=place
        )
    if len(os.fsencode(name)) > LONGEST_NAME_BYTES:
        raise FileError(f"{said} has a name of more than {LONGEST_NAME_BYTES} bytes.", place=place)
    if os.name == "nt" and (":" in name or name != name.rstrip(". ")):
        raise FileError(f"{said} has a name with a special meaning on Windows.", place=place)


def _brief(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"


# Before the run.


def read_path(line: Scanner, what: str) -> Value:
    """Takes a path in quotes; notes what can be none."""
    value = line.expect_quoted(what)
    text = str(value.given) if value.is_literal else ""
    if value.is_literal and (not text or text.endswith("/")):
        line.note("action-syntax", f"{what} is a file, not {text!r}.", value.place)
    return value


def leads_outside(value: Value) -> tuple[Fault, ...]:
    """A warning if its author's own words leave the folder in which the run is started."""
    outline = value.template.outline or ()
    own = outline[0] if outline and isinstance(outline[0], str) else ""
    norm = os.path.normpath(own) if own else ""
    if not (os.path.isabs(own) or norm == ".." or norm.startswith(("../", "..\\"))):
        return ()
    message = (
        f"The path {_brief(own)!r} leads outside the folder in which the workflow runs. Let the user "
        f"choose it: declare "
        "a parameter of type `file` or `folder`."
    )
    return (Fault(code="path-outside", message=message, place=value.place, severity="warning"),)
