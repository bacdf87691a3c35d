"""Finds the text of each state's action, in every place where it may be, and parses it.

Above: `reading.py`. Below: `markdown.py` and `diagram.py`. How an action is read is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from samovar.errors import Fault, FaultsError, Fix, Place, same_look
from samovar.language.composites import exit_of
from samovar.language.diagram import Diagram
from samovar.language.findings import Findings
from samovar.language.joins import read_join
from samovar.language.left_over import LeftOver
from samovar.language.markdown import Bullet, Document, Heading, TextBlock
from samovar.language.names import OF_COMMAND
from samovar.language.parsed_action import ParseAction
from samovar.language.store_lines import split_stored, with_store

OWN_SECTIONS = ("prompts", "schemas")
LARGEST_ACTION_CHARS = 65_536

_ACTION_LINE = re.compile(
    r"^\s*(?:[-*+]\s+)?(?:\*\*action\*\*\s*:|\*\*action:\*\*|action:)\s*(?P<text>.*)$", re.I
)
_LIKE_AN_ACTION = re.compile(
    r"\w+(?:\s+\w+)?\s+(?:\"[^\"]*\"|'[^']*')\s*(?:(?:with|using)\s.*|\w+=.*)?", re.DOTALL
)
"""A word or two and a text in quotes, with nothing else but options: no description is written so."""
_NO_BULLET = re.compile(r"(?:\d+[.)]\s+|-(?=\S)|[–—−•·‣▪◦○]\s*)?(?P<name>[^\s:-][^:]*):")
"""Numbers, what editors make of `- ` while it is typed, and a bullet without a blank behind it."""


def _plain(name: str) -> str:
    """The name without bold and back-ticks."""
    return " ".join(name.replace("**", "").replace("`", "").split())


class ActionLines:
    """Finds the text of each state's action, in the places where it may be, and parses it."""

    def __init__(
        self,
        document: Document,
        diagram: Diagram,
        found: Findings,
        parse_action: ParseAction,
        *,
        lenient: bool,
        is_old: bool,
    ) -> None:
        self._document, self._diagram, self._found = document, diagram, found
        self._parse, self._lenient, self._is_old = parse_action, lenient, is_old
        self._cut = len(document.lines) + 1
        """The line where a heading within a text has ended the section."""
        self._broken: int | None = None
        """The indent of a bullet within whose text another bullet begins, which is not read."""

    def read(self) -> None:
        """Bullets win; then the older `## States`; then descriptions in the diagram."""
        seen: set[str] = set()
        sections: list[tuple[int, int]] = []
        is_own = False
        for heading in self._document.headings:
            if heading.level <= 2:
                is_own = heading.title.lower() in OWN_SECTIONS
            if heading.title.lower() == "actions" and heading.level in (2, 3) and not is_own:
                end = self._document.end_of(heading, 6)
                for bullet in self._document.bullets(heading.line + 1, end):
                    if self._broken is None or bullet.indent <= self._broken:
                        self._broken = None
                        self._bullet(bullet, seen)
                sections.append((heading.line + 1, end))
        self._old_states(seen)
        for name, node in self._diagram.nodes.items():
            if name not in seen:
                for text, place in node.descriptions:
                    self._described(name, text, place)
        for line, end in sections:
            self._check_rest(line, end)
        self._check_outside(sections)
        if not self._is_old and not self._lenient:
            left = LeftOver(self._document, self._diagram.nodes, self._found, self._parse)
            for line, end in sections:
                left.below_actions(line, end)
            if states := self._states_section():
                left.below_states(states.line + 1, self._document.end_of(states))

    def _states_section(self) -> Heading | None:
        return next(
            (h for h in self._document.headings if h.title.lower() == "states" and h.level == 2), None
        )

    def _check_outside(self, sections: Sequence[tuple[int, int]]) -> None:
        """Bullets that would be a state's action if they were below `## Actions`."""
        own = [
            (heading.line, self._document.end_of(heading))
            for heading in self._document.headings
            if heading.level <= 2 and heading.title.lower() in OWN_SECTIONS
        ]
        first = self._document.place(1).line
        for bullet in self._document.bullets(1, self._cut):
            name, colon, rest = bullet.text.partition(":")
            name, line = _plain(name), bullet.place.line - first + 1
            is_state = colon and name in self._diagram.nodes and name not in self._found.actions
            if not is_state or any(begin <= line < end for begin, end in (*sections, *own)):
                continue
            with suppress(FaultsError):
                self._parse(rest.strip("* \t"), bullet.place, is_old=self._is_old)
                message = (
                    f"This is not used as the action of {name!r}, since it is not below a heading `## "
                    f"Actions`: "
                    "move it there."
                )
                is_error = not self._lenient and not self._is_old
                self._found.add("action-line", message, bullet.place, is_error=is_error)

    def _check_rest(self, line: int, end: int) -> None:
        """Lines that would be a state's action if they were bullets, as in a numbered list."""
        for number in range(line, end):
            match = _NO_BULLET.match(self._document.lines[number - 1])
            name = _plain(match["name"]) if match and not self._document.is_fenced(number) else ""
            if name in self._diagram.nodes and name not in self._found.actions:
                message = f"This is not a bullet, so {name!r} has no action: write `- {name}: …`."
                place = self._document.place(number)
                self._found.add("action-line", message, place, is_error=not self._is_old)

    def _bullet(self, bullet: Bullet, seen: set[str]) -> None:
        if bullet.block is not None:
            bullet = replace(bullet, block=None) if self._is_old else replace(bullet, text=bullet.head)
        name, colon, rest = bullet.text.partition(":")
        name = _plain(name)
        if not colon:
            message = "An action line has the form `- State: action`."
            return self._found.add("action-line", message, bullet.place, is_error=not self._is_old)
        text = rest.lstrip("* \t")
        skipped = len(bullet.text.partition(":")[0]) + 1 + len(rest) - len(text)
        place = bullet.place.within(bullet.text, skipped)
        if name not in self._diagram.nodes:
            if self._diagram.nodes:
                message = (
                    f"The diagram has no state {name!r}.{self._found.nearest(name, self._diagram.nodes)}"
                )
                self._found.add(
                    "unknown-state",
                    message,
                    bullet.place,
                    is_error=not self._is_old,
                    fix=self._other_form(name, bullet),
                )
            return None
        if name in seen:
            message = f"The state {name!r} has two action lines: keep one."
            is_error = not self._is_old and not self._lenient
            self._found.add("two-actions", message, bullet.place, is_error=is_error)
        seen.add(name)
        if not text.strip():
            return self._found.add(
                "action-line", f"The action of {name!r} is empty.", place, is_error=not self._is_old
            )
        self._read_text(name, self._old_bullet(text, place) if self._is_old else text, place, bullet)
        return None

    def _other_form(self, name: str, bullet: Bullet) -> Fix | None:
        """The fix of a name that differs from a state's only in its Unicode form."""
        alike = same_look(name, self._diagram.nodes)
        if alike is None or not bullet.text.startswith(name):
            return None
        return Fix(place=bullet.place, old=name, new=alike)

    def _old_bullet(self, text: str, place: Place) -> str:
        """What the older system read of a bullet of several lines, and `Store As: name`, which it did not."""
        first, more = split_stored(text)
        whole = "\n".join((first, *more))
        if more and not self._is_action(whole, place) and self._is_action(first, place):
            message = "Only the first line is read here, as in the older system."
            self._found.add("action-line", message, place, is_error=False)
            return first
        return whole

    def _is_action(self, text: str, place: Place) -> bool:
        try:
            self._parse(text, place, is_old=self._is_old)
        except FaultsError:
            return False
        return True

    def _read_text(self, name: str, text: str, place: Place, bullet: Bullet | None = None) -> None:
        block = bullet.block if bullet else None
        if len(text) + len(block.text if block else "") > LARGEST_ACTION_CHARS:
            message = f"The action of {name!r} is longer than {LARGEST_ACTION_CHARS} characters."
            return self._found.add("too-large", message, place)
        try:
            self._take(name, text, place, block)
        except FaultsError as error:
            self._found.unread.update(re.findall(r"[A-Za-z_]\w*", text), OF_COMMAND)
            for fault in error.faults:
                fault = self._why_open(fault, bullet) if bullet and fault.code == "open-text" else fault
                is_unknown = fault.code == "unknown-action"
                is_error = not self._lenient and not (is_unknown and self._is_old)
                after = "" if is_error else " The state passes through."
                self._found.add(fault.code, fault.message + after, fault.place, is_error=is_error)
        return None

    def _take(self, name: str, text: str, place: Place, block: TextBlock | None = None) -> None:
        """The action of a state, and what is before it about its join. Raises `FaultsError`."""
        if join := read_join(text, place, is_old=self._is_old):
            self._found.joins[name] = join.needed
            # What a composite does once its branches have met belongs to its end, not to the way in.
            name = exit_of(name) if self._diagram.nodes[name].regions else name
            text, place = text[join.offset :], place.within(text, join.offset)
        if join is None or text or block is not None:
            self._found.actions[name] = self._parse(text, place, is_old=self._is_old, block=block)

    def _why_open(self, fault: Fault, bullet: Bullet) -> Fault:
        """With what has ended the bullet within a text, if that can be seen."""
        end = bullet.end_line
        lines = self._document.lines
        source = lines[end - 1] if end <= len(lines) else ""
        following = next((line for line in lines[end - 1 :] if line.strip()), "")
        indent = len(following) - len(following.lstrip())
        begun = f"the text in quotes that begins in line {fault.place.line} does not end"
        if not source.strip() and indent > bullet.indent:
            message = (
                f"An empty line ends the bullet, so {begun}. Remove the line; a prompt with empty "
                "lines belongs below `## Prompts`."
            )
        elif source.lstrip().startswith("# "):
            self._cut = end
            message = (
                f"A `#` at the beginning of a line makes a heading, so {begun}. Indent the line if it "
                "belongs to the text."
            )
        elif source.strip() and indent > bullet.indent:
            self._broken = bullet.indent
            message = f"This line begins a new bullet, so {begun}. Put another character before the `-`."
        else:
            return fault
        return replace(fault, message=message, place=self._document.place(end))

    def _old_states(self, seen: set[str]) -> None:
        """`## States` with `### Name` and a line `**Action**: …` below it."""
        document = self._document
        section = self._states_section()
        if section is None:
            return
        end, bullets = document.end_of(section), frozenset(seen)
        for heading in document.headings:
            name = _plain(heading.title)
            if not section.line < heading.line < end or name not in self._diagram.nodes or name in bullets:
                continue
            for number in range(heading.line + 1, min(end, document.end_of(heading))):
                line = document.lines[number - 1]
                if match := _ACTION_LINE.match(line):
                    text, place = match["text"].strip(), document.place(number, match.start("text") + 1)
                    seen.add(name)
                    self._read_text(name, with_store(document.text(heading.line + 1, end), text), place)
                    break
            else:
                self._read_block(name, heading.line + 1, min(end, document.end_of(heading)))

    def _read_block(self, name: str, line: int, end: int) -> None:
        """The text below `### Name` if no line is marked: an action, or it only describes the state."""
        lines = self._document.lines[line - 1 : end - 1]
        text = "\n".join(lines).strip()
        first = next((number for number, one in enumerate(lines, start=line) if one.strip()), line)
        if text and len(text) <= LARGEST_ACTION_CHARS:
            with suppress(FaultsError):
                place = self._document.place(first)
                self._found.actions[name] = self._parse(text, place, is_old=self._is_old)

    def _described(self, name: str, text: str, place: Place) -> None:
        """An action in the diagram. A description that is none is just that."""
        if len(text) > LARGEST_ACTION_CHARS:
            return
        if text.lower().strip().find("wait for user") > 0:
            return  # that is what happens there
        try:
            self._take(name, text, place)
        except FaultsError as error:
            is_unknown = all(fault.code == "unknown-action" for fault in error.faults)
            is_slip = _LIKE_AN_ACTION.fullmatch(text.strip()) and " Did you mean" in error.faults[0].message
            if is_unknown and (self._is_old or not is_slip):
                return
            is_error = not self._lenient and not self._is_old
            for fault in error.faults:
                self._found.add(fault.code, fault.message, fault.place, is_error=is_error)
