"""Splits an answer into reasoning and text.

Above: `answer.py`. Below: `markers.py`. It knows neither tokens nor engines: texts in, parts out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator
from enum import Enum, auto

from samovar.engines.markers import CHANNEL, CHANNELS, ENDINGS, FINAL, MESSAGE, START, Beginning, Markers
from samovar.generation import PartKind

_NAMED = re.compile(r"<\|channel\|>\s*(\w+)")
_HEADERS = (CHANNEL, MESSAGE, START, "to=")
"""What the rest of a header can begin with; anything else is text."""


class _State(Enum):
    START = auto()
    """Nothing but white space so far, or since the last block."""
    INSIDE = auto()
    """A block."""
    HEADER = auto()
    """The header of a message in a channel."""
    BODY = auto()
    """The body of a message that is reasoning."""
    TEXT = auto()


Run = tuple[PartKind, str]
"""What was said next, all of one kind."""
BETWEEN = "\n\n"
"""Between two blocks or messages of a kind."""
_PLAIN, _TOKEN, _HIDDEN = " ", "t", "h"
"""What a character is of: text, a marker's token, or one that is shown to nobody."""


class Splitter:
    """One answer. Mutable: what is held until it is known what it is. A copy continues by itself.

    However the answer is cut into pieces, the parts are the same.
    """

    __slots__ = (
        "_block",
        "_ends",
        "_held",
        "_is_fresh",
        "_made_of",
        "_once",
        "_said",
        "_state",
        "is_over",
        "markers",
    )

    def __init__(self, markers: Markers, beginning: Beginning, *, once: bool = False) -> None:
        """`once`: after one block comes the text, whatever it is."""
        self.markers = markers
        self._once = once
        self._block = beginning.inside
        self._state = _State.START if self._block is None else _State.INSIDE
        if markers.has_channels:
            self._state = _State.HEADER
        self._is_fresh = True
        """Nothing was said in the state that the answer begins in."""
        self._held = self._made_of = ""
        self._ends = ""
        self._said: frozenset[PartKind] = frozenset()
        self.is_over = False
        """The model has marked the end of its text."""

    @property
    def kind(self) -> PartKind | None:
        """What comes now; None if only the next characters show it."""
        if self._state is _State.TEXT:
            return "text"
        return "reasoning" if self._state in (_State.INSIDE, _State.BODY) else None

    @property
    def is_open(self) -> bool:
        """The reasoning has begun and not ended."""
        return self.kind == "reasoning" or (self._state is _State.HEADER and not self._is_fresh)

    @property
    def may_be_text(self) -> bool:
        """Whether what comes next is text unless it begins with a marker."""
        return self._state is _State.START or (self._state is _State.HEADER and self._is_fresh)

    @property
    def held_white(self) -> int:
        """How many characters are held, if all of them are white space."""
        return 0 if self._held.strip() else len(self._held)

    def copy(self) -> Splitter:
        other = Splitter.__new__(Splitter)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def settle(self) -> None:
        """What comes from now on is the text; what is held is dropped."""
        self._state, self._held, self._made_of = _State.TEXT, "", ""

    def feed(self, text: str, *, is_token: bool = False, is_hidden: bool = False) -> list[Run]:
        """`is_token`: it is one token of its own. `is_hidden`: of those that are shown to nobody."""
        self._held += text
        self._made_of += (_HIDDEN if is_hidden else _TOKEN if is_token else _PLAIN) * len(text)
        return list(self._steps(is_last=False))

    def finish(self) -> list[Run]:
        """What was held, once nothing more comes."""
        return list(self._steps(is_last=True))

    def _steps(self, *, is_last: bool) -> Iterator[Run]:
        goes_on = True
        while goes_on and self._held and not self.is_over:
            before = self._state
            match before:
                case _State.START:
                    goes_on = self._start(is_last)
                case _State.HEADER:
                    goes_on = self._header(is_last)
                case _State.INSIDE:
                    goes_on = yield from self._inside(is_last)
                case _State.BODY:
                    goes_on = yield from self._body("reasoning", is_last)
                case _State.TEXT:
                    goes_on = yield from self._text(is_last)
            if self._state is not before and self.kind in self._said:
                yield self.kind, BETWEEN

    def _start(self, is_last: bool) -> bool:
        """Whether it is known what the answer, or the rest of it, begins with."""
        rest = self._held.lstrip()
        if not rest:
            return False
        blocks, wraps = self.markers.blocks, self.markers.wraps
        found = next((one for one in (*blocks, *wraps) if rest.startswith(one.opens)), None)
        if found is not None:
            self._drop(len(self._held) - len(rest) + len(found.opens))
            if found in blocks:
                self._block, self._state, self._is_fresh = found, _State.INSIDE, False
            else:
                self._ends, self._state = found.closes, _State.TEXT
            return True
        if not is_last and any(one.opens.startswith(rest) for one in (*blocks, *wraps)):
            return False
        self._state = _State.TEXT
        return True

    def _inside(self, is_last: bool) -> Generator[Run, None, bool]:
        assert self._block is not None
        if self._is_fresh:  # a model may repeat the marker that its prompt ends with
            rest, opens = self._held.lstrip(), self._block.opens
            if not is_last and opens.startswith(rest) and rest != opens:
                return False
            if rest.startswith(opens):
                self._drop(len(self._held) - len(rest) + len(opens))
            self._is_fresh = False
        found = yield from self._until((self._block.closes,), "reasoning", is_last)
        if found:
            self._ends = self._block.ends
            self._state = _State.TEXT if self._once or self._ends else _State.START
        return bool(found)

    def _header(self, is_last: bool) -> bool:
        """Reads a header to its end; if there is none it is text."""
        rest = self._held.lstrip()
        could_be = any(rest.startswith(one) or (not is_last and one.startswith(rest)) for one in _HEADERS)
        if (self._is_fresh and rest and not could_be) or (is_last and not any(map(rest.count, CHANNELS))):
            self._state = _State.TEXT
            return True
        place = self._find(MESSAGE)
        if place < 0:
            return False
        named = _NAMED.search(self._held[:place])
        self._drop(place + len(MESSAGE))
        self._is_fresh = False
        self._state = _State.TEXT if named is None or named[1] == FINAL else _State.BODY
        return True

    def _text(self, is_last: bool) -> Generator[Run, None, bool]:
        if self.markers.has_channels:
            return (yield from self._body("text", is_last))
        found = yield from self._until((self._ends,) if self._ends else (), "text", is_last)
        self.is_over = bool(found)
        return False

    def _body(self, kind: PartKind, is_last: bool) -> Generator[Run, None, bool]:
        """To the end of a message, behind which another may begin."""
        found = yield from self._until(ENDINGS, kind, is_last)
        if found:
            self._state, self._is_fresh = _State.HEADER, False
        return bool(found)

    def _until(
        self, markers: tuple[str, ...], kind: PartKind, is_last: bool
    ) -> Generator[Run, None, str | None]:
        """Says what is before the first marker and drops both; gives the marker, if there is one."""
        places = [(place, one) for one in markers if (place := self._find(one)) >= 0]
        place, found = min(places, default=(len(self._held), None))
        if found is None and not is_last and not self.markers.only_tokens:
            place -= overlap(self._held, markers)
        shown = self._held[:place]
        if _HIDDEN in self._made_of[:place]:
            made_of = zip(shown, self._made_of, strict=False)
            shown = "".join(character for character, of in made_of if of != _HIDDEN)
        self._drop(place + len(found or ""))
        if shown:
            self._said |= {kind}
            yield kind, shown
        return found

    def _find(self, marker: str) -> int:
        place = self._held.find(marker)
        while self.markers.only_tokens and place >= 0 and self._made_of[place] == _PLAIN:
            place = self._held.find(marker, place + 1)
        return place

    def _drop(self, count: int) -> None:
        self._held, self._made_of = self._held[count:], self._made_of[count:]


def overlap(text: str, markers: Collection[str]) -> int:
    """The length of the longest end of `text` that begins one of the markers and is not the whole of it."""
    for length in range(min(max(map(len, markers), default=1) - 1, len(text)), 0, -1):
        end = text[-length:]
        if any(len(marker) > length and marker.startswith(end) for marker in markers):
            return length
    return 0
