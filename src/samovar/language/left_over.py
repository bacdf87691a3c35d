"""Text below `## Actions` and `## States` that belongs to no state, but may be meant as an action.

Above: `action_lines.py`, which hands over what it has read. Below: `markdown.py` and the findings. It decides
whether such text is an error (it names a state, or is written as an action) or a warning (the rest).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from samovar.errors import FaultsError
from samovar.language.findings import Findings
from samovar.language.markdown import Bullet, Document
from samovar.language.parsed_action import ParseAction

_MARKS = re.compile(r"^[\W_]*(?:\d+[.)]\s+)?[\W_]*")
"""What is before the words: bullets of any kind, quotes, numbers, bold, the bars of tables."""
_AFTER_NAME = re.compile(r"[\s*`_\"']*(?:[:=|–—→-]|$)|[^:|]*:")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LONGEST_LINE = 2000
"""In characters; of longer ones the beginning is looked at."""
_MOST_TRIED = 20
"""Lines of one bullet that are tried as an action of another state; before each the bullet is read."""


class LeftOver:
    """Looks through the rest of a section."""

    def __init__(
        self, document: Document, states: Collection[str], found: Findings, parse_action: ParseAction
    ) -> None:
        self._document, self._states, self._found, self._parse = document, states, found, parse_action
        self._is_complete = all(state in found.actions for state in states)
        self._hidden = self._in_comments()
        self._diagram_lines = frozenset(
            line
            for fence in document.fences
            if "mermaid" in fence.info.lower()
            for line in range(fence.line, fence.end_line + 1)
        )
        self._known = {fault.place.line for fault in found.faults}
        """Lines of the file that have a fault already."""

    def below_actions(self, line: int, end: int) -> None:
        """The section's lines up to `end`, its next heading, and what is below smaller headings."""
        level = next(one.level for one in self._document.headings if one.line == line - 1)
        whole_end = next(
            (one.line for one in self._document.headings if one.line >= end and one.level <= level),
            len(self._document.lines) + 1,
        )
        bullets = tuple(self._document.bullets(line, end))
        taken = {number for bullet in bullets for number in self._lines_of(bullet)}
        is_warned = False
        if any(fault.code == "open-text" for fault in self._found.faults):
            return  # what is behind a text that does not end may have been meant to be in it
        for bullet in bullets:
            self._within(bullet)
        for number in range(line, whole_end):
            if number in taken:
                is_warned = False
                continue
            if not (text := self._text(number)):
                continue
            place = self._document.place(number)
            if self._is_complete and self._document.is_fenced(number):
                continue  # an example, for nothing lacks an action
            if place.line in self._known or number in self._diagram_lines:
                is_warned = True
                continue
            if self._is_meant(text):
                message = "This is not an action line, so it has no effect: write `- State: action`."
                self._found.add("action-line", message, place)
            elif number < end and not is_warned:
                message = (
                    "This text below `## Actions` has no effect: an action is a bullet `- State: action`."
                )
                self._found.add("action-line", message, place, is_error=False)
                is_warned = True

    def below_states(self, line: int, end: int) -> None:
        """Lines below `### Name` of a state without an action that are written as one."""
        name = ""
        headings = {heading.line: heading.title.strip("*` ") for heading in self._document.headings}
        for number in range(line, end):
            if number in headings:
                name = headings[number]
            text = self._text(number)
            place = self._document.place(number)
            is_open = name not in self._found.actions and place.line not in self._known
            if text and is_open and number not in headings and '"' in text and self._is_action(text):
                message = (
                    f"This is not an action line, so {name!r} does nothing: write `**Action**: …`, or a "
                    f"bullet `- {name}: …` below `## Actions`."
                )
                self._found.add("action-line", message, place)

    def _lines_of(self, bullet: Bullet) -> range:
        end = bullet.end_line if bullet.block is None else max(bullet.end_line, bullet.block.end_line)
        return range(bullet.place.line - self._document.place(1).line + 1, end)

    def _within(self, bullet: Bullet) -> None:
        """A later line of a bullet that is another state's action, if a whole one is before it."""
        lines, first, tried = bullet.text.split("\n"), self._lines_of(bullet).start, 0
        for number in self._lines_of(bullet)[1:]:
            if bullet.block is not None and number >= bullet.block.line:
                return None
            name, colon, rest = self._text(number).partition(":")
            name, place = name.rstrip("*`_ "), self._document.place(number)
            is_example = self._is_complete and self._document.is_fenced(number)
            if not colon or name not in self._states or is_example or place.line in self._known:
                continue
            tried += 1
            if tried > _MOST_TRIED:
                return None
            before = "\n".join(lines[: number - first]).partition(":")[2]
            if self._has_verb(_MARKS.sub("", rest)) and not self._wrong(before.lstrip("* \t")):
                message = (
                    "This line belongs to the bullet above it, so it is not the action of a state: write "
                    f"`- {name}: …` as a bullet of its own."
                )
                return self._found.add("action-line", message, place)
        return None

    def _in_comments(self) -> frozenset[int]:
        lines: set[int] = set()
        text = "\n".join(self._document.lines)
        at, number = 0, 1
        for match in _COMMENT.finditer(text):
            number += text.count("\n", at, match.start())
            at = match.start()
            lines.update(range(number, number + match[0].count("\n") + 1))
        return frozenset(lines)

    def _text(self, number: int) -> str:
        """The words of a line, without what is before them; empty for a line of marks or a comment."""
        if number in self._hidden:
            return ""
        return _MARKS.sub("", self._document.lines[number - 1][:_LONGEST_LINE]).rstrip()

    def _is_meant(self, text: str) -> bool:
        word = re.match(r"\w+", text)
        names = [word[0], re.split(r"[:|*`]", text, maxsplit=1)[0].strip()] if word else []
        for name in names:
            is_open = name in self._states and name not in self._found.actions
            if is_open and _AFTER_NAME.match(text, len(name)):
                return True
        return self._is_action(text)

    def _is_action(self, text: str) -> bool:
        """Whether it begins with the verb of an action, itself or behind `Name:` or `Name |`."""
        _, mark, rest = text.partition(":" if ":" in text.partition('"')[0] else "|")
        inner = _MARKS.sub("", rest).rstrip("| ")
        return any(self._has_verb(one) for one in ((text.rstrip("| "), inner) if mark else (text,)) if one)

    def _has_verb(self, text: str) -> bool:
        return "unknown-action" not in self._wrong(text)

    def _wrong(self, text: str) -> frozenset[str]:
        """The codes of mistakes in a text as an action."""
        try:
            self._parse(text, self._document.place(1), is_old=False)
        except FaultsError as error:
            return frozenset(fault.code for fault in error.faults)
        return frozenset()
