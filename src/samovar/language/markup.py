"""The Liquid markup of a text: the end of each output, tag and raw block, found in one pass.

Above: `pieces.py`, the scanner of action lines, the lexer of `liquid_dialect.py`. Below: nothing but places.
What has no end is looked for once, so that a text of beginnings takes no more time than its length.
"""

from __future__ import annotations

import re

from samovar.errors import Place

_STRIDE = 1024
_ENDS = {"{{": "}}", "{%": "%}"}
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}")
_ENDRAW = re.compile(r"\{%-?\s*endraw\s*-?%\}")


class Markup:
    """A text with Liquid in it. Changed by looking: what it knows to have no end."""

    def __init__(self, text: str, place: Place | None = None) -> None:
        """`place`: of the text's first character; None if nobody asks for places."""
        self.text = text
        self._places = [place]
        """Places of every `_STRIDE`th character, as far as they were needed."""
        self._endless: set[str] = set()
        """Ends that are nowhere behind a place that was looked from."""
        self.steps = 0
        """Characters looked at, for tests that count."""

    def place(self, at: int) -> Place:
        """The place of the character at an offset, without going through all that is before it each time."""
        near = at // _STRIDE
        for number in range(len(self._places), near + 1):
            self._places.append(self._from(number - 1, number * _STRIDE))
        return self._from(near, at)

    def _from(self, near: int, at: int) -> Place:
        begin, place = near * _STRIDE, self._places[near]
        assert place is not None
        return place.within(self.text[begin:at], at - begin)

    def output(self, at: int) -> int | None:
        """Where the `{{ … }}` ends that begins at an offset; None if it does not."""
        return self._behind("}}", at + 2)

    def tag(self, at: int) -> int | None:
        """Where the `{% … %}` ends that begins at an offset; None if it does not."""
        return self._behind("%}", at + 2)

    def raw(self, at: int) -> tuple[int, int, int] | None:
        """The raw block that begins at an offset: where its content begins and ends, and its own end."""
        return self.block(at, _RAW, _ENDRAW)

    def block(self, at: int, begin: re.Pattern[str], end: re.Pattern[str]) -> tuple[int, int, int] | None:
        """As `raw`, of any block whose content is not read. None: none begins here, or it has no end."""
        opening = begin.match(self.text, at)
        if opening is None:
            return None
        self.steps += opening.end() - at
        if end.pattern in self._endless:
            return None
        closing = end.search(self.text, opening.end())
        self.steps += (closing.end() if closing else len(self.text)) - opening.end()
        if closing is None:
            self._endless.add(end.pattern)
            return None
        return opening.end(), closing.start(), closing.end()

    def end(self, at: int) -> tuple[str, int] | None:
        """What begins at an offset (`raw`, `tag` or `output`), and where it ends; None if nothing does."""
        if self.text.startswith("{%", at):
            if raw := self.raw(at):
                return "raw", raw[2]
            tag = self.tag(at)
            return None if tag is None else ("tag", tag)
        if self.text.startswith("{{", at):
            output = self.output(at)
            return None if output is None else ("output", output)
        return None

    @property
    def can_begin(self) -> tuple[str, ...]:
        """The beginnings that may have an end further on."""
        return tuple(begin for begin, end in _ENDS.items() if end not in self._endless)

    def _behind(self, mark: str, at: int) -> int | None:
        if mark in self._endless:
            return None
        found = self.text.find(mark, at)
        self.steps += (found if found >= 0 else len(self.text)) - at
        if found < 0:
            self._endless.add(mark)
            return None
        return found + len(mark)
