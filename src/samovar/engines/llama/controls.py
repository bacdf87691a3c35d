"""The texts of control tokens, found in text, and marked in messages so that none arises from them.

Above: `vocabulary.py`, `chat.py`. Below: `errors/`. It does not know what a template is. While a template
is filled, first characters of control texts that a message contains are written as private-use characters.
So what was rendered says of each such character whether the template or a message wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain, islice

from samovar.errors import EngineError

Span = tuple[int, int]
"""Where a text begins and ends in another."""

_PRIVATE_USE = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))


class ControlTexts(Mapping[str, int]):
    """The control tokens of a vocabulary, by their texts."""

    def __init__(self, tokens: Mapping[str, int]) -> None:
        self._tokens = dict(sorted(tokens.items(), key=lambda item: (-len(item[0]), item[0])))
        lengths: dict[str, set[int]] = {}
        for text in self._tokens:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(of, reverse=True) for first, of in lengths.items()}

    def __getitem__(self, text: str) -> int:
        return self._tokens[text]

    def __iter__(self) -> Iterator[str]:
        """The texts, the longest first."""
        return iter(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    @cached_property
    def _first(self) -> re.Pattern[str]:
        """Any first character of a control text."""
        return re.compile("[" + "".join(map(re.escape, self._lengths)) + "]" if self._lengths else r"(?!)")

    @cached_property
    def characters(self) -> frozenset[str]:
        """All that are in control texts."""
        return frozenset().union(*self._tokens)

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        """All that control texts begin with, without the whole ones."""
        return frozenset(text[:length] for text in self._tokens for length in range(1, len(text)))

    def is_left_open(self, text: str) -> bool:
        """Whether `text` ends with the beginning of a control text, which more text could complete."""
        longest = max(map(len, self._tokens), default=0)
        return any(text[-length:] in self._beginnings for length in range(1, min(longest, len(text) + 1)))

    def begun_in(self, text: str) -> set[str]:
        """The first characters of control texts that are in `text`."""
        return set(self._first.findall(text))

    def every(self, text: str) -> Iterator[Span]:
        """All places at which a control text begins, and where the longest one there ends."""
        for match in self._first.finditer(text):
            start = match.start()
            for length in self._lengths[match[0]]:
                if text[start : start + length] in self._tokens:
                    yield start, start + length
                    break

    def found(self, text: str) -> list[Span]:
        """The control texts in `text`, from left to right, none within another."""
        spans: list[Span] = []
        for start, end in self.every(text):
            if not spans or start >= spans[-1][1]:
                spans.append((start, end))
        return spans


class Marking:
    """The private-use characters that are written in messages for first characters of control texts."""

    def __init__(
        self, controls: ControlTexts, contents: Iterable[str], source: str, *, of_all: bool = False
    ) -> None:
        """`source`: of the template. No mark is in it or in any content.

        `of_all`: there are marks for all characters of control texts, so that `all_characters` can be asked.
        Raises `EngineError` if the contents leave no private-use character for a mark.
        """
        contents = list(contents)
        begun = sorted(set().union(*map(controls.begun_in, contents)))
        if of_all:
            begun += sorted(controls.characters.intersection(*[set().union(*contents)]) - set(begun))
        self._controls = controls
        self._marks: dict[int, int] = {}
        self._firsts: dict[int, int] = {}
        self._beginning: dict[int, int] = {}
        if begun:
            taken = set(source).union(*contents)
            free = (code for code in chain(*_PRIVATE_USE) if chr(code) not in taken)
            marks = list(islice(free, len(begun)))
            if len(marks) < len(begun):
                raise EngineError("The messages contain nearly all private-use characters of Unicode.")
            self._marks = dict(zip(map(ord, begun), marks, strict=True))
            self._beginning = {
                code: self._marks[code] for code in map(ord, controls.begun_in("".join(begun)))
            }
            self._firsts = {mark: first for first, mark in self._marks.items()}

    def whole_texts(self, content: str) -> str:
        """`content` with a mark for the first character of each control text in it."""
        if not self._marks:
            return content
        characters = list(content)
        for start, _ in self._controls.every(content):
            characters[start] = chr(self._marks[ord(content[start])])
        return "".join(characters)

    def all_beginnings(self, content: str) -> str:
        """`content` with a mark for each character that any control text begins with."""
        return content.translate(self._beginning)

    def all_characters(self, content: str) -> str:
        """`content` with a mark for each character that any control text has."""
        return content.translate(self._marks)

    def undone(self, text: str) -> str:
        """`text` with the characters that the marks are written for. It has as many characters."""
        return text.translate(self._firsts)


Mark = Callable[[str], str]
"""Marks a content: one of the two ways of `Marking`."""
