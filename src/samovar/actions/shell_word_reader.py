"""The current word of a shell command, and the parts that the shell puts into it.

Above: `shell_command_reader.py`. Below: `shell_text.py`, `shell_frames.py`, `shell_builtins.py` for the known
facts about variables. What may hold a value is kept with the word; if it would be code it is refused.
"""

from __future__ import annotations

import re

from samovar.actions.shell_builtins import Known, in_arithmetic, kept, mentioned
from samovar.actions.shell_frames import Flow, ShellFrame
from samovar.actions.shell_text import ShellText
from samovar.actions.shell_words import Refused

_PARAMETER = re.compile(r"([!#]?)([A-Za-z_]\w*|[@*]|\d+|[#?$!-])?")
_COMPUTED = re.compile(r"\[|:(?![-=?+])")
"""What follows the name in a `${…}` is arithmetic."""
_BLANK = ("", " ", "\t", "\n")
IN_ARITHMETIC = "it is inside arithmetic, where the shell would read it as an expression"


class WordReader:
    """Reads words. Mutable: what is open, and the known facts about variables."""

    def __init__(self, text: ShellText, known: Known) -> None:
        self.text, self._known = text, known
        self.stack = [ShellFrame("bare", flow=Flow(base=known.input, fed=known.input))]

    def _into_word(self, text: str) -> None:
        frame = self.stack[-1].bare
        frame.word.append(text)
        frame.in_word = True
        if text[:2] == "${" and not self.stack[-1].is_quoted:
            frame.computed = True

    def _plain(self, character: str) -> None:
        """A character outside quotes that may be part of a pattern, or of words in braces."""
        frame = self.stack[-1]
        if character in "*?" or (character == "[" and frame.in_word):
            frame.computed = True
        # `{a,b}` and `{1..3}` are several words in bash.
        frame.several = frame.several or (frame.braces > 0 and character in ",.")
        frame.braces = max(0, frame.braces + {"{": 1, "}": -1}.get(character, 0))
        self._into_word(character)

    def _join_lines(self) -> None:
        """A back-slash and the end of its line, which shells take away before they read words."""
        if self.text.before not in _BLANK and self.text.peek(2) not in _BLANK:
            self.text.refuse("a line continues in the middle of a word; put a blank before the back-slash")
        self.text.take(2)

    def _hold(self, number: int, through: str, *, splits: bool) -> None:
        """The word being read holds a value."""
        frame = self.stack[-1]
        if frame.kind == "parameter":
            frame.holds = number
        bare = frame.bare
        if bare.value is None:
            bare.value, bare.through = number, through
        bare.splits = bare.splits or splits
        if bare.is_arithmetic:
            self.text.refuse(IN_ARITHMETIC, number)

    def _check(self, found: Refused | None) -> None:
        if found is not None:
            self.text.refuse(found.why, found.number)

    def _expand(self, name: str) -> None:
        """The shell puts in what a variable holds."""
        frame = self.stack[-1]
        number = self._known.holding.get("@" if name in ("@", "*") or name.isdigit() else name)
        if number is None:
            return
        computed = frame.kind == "parameter" and is_computed(frame)
        if frame.is_arithmetic or frame.kind == "arithmetic" or computed:
            self.text.refuse(f"arithmetic reads it as an expression (${name} contains it)", number)
        self._hold(number, f"${name}", splits=not frame.is_quoted)

    def _end_parameter(self, frame: ShellFrame) -> None:
        own = "".join(frame.own)
        match = _PARAMETER.match(own)
        assert match is not None
        prefix, name, rest = match[1], match[2] or "", own[match.end() :]
        if _COMPUTED.match(rest):
            self._check(in_arithmetic(rest, self._known))
        if rest[:1] == "=" or rest[:2] == ":=":
            self._known.written.add(name)
            if frame.holds is not None:
                self._check(kept(name, frame.holds, self._known))
        holding = self._known.holding
        key = "@" if name == "*" or name.isdigit() else name
        if prefix == "!" and holding:
            number = holding.get(key, next(iter(holding.values())))
            if key in holding or rest.endswith("@P"):
                self.text.refuse("${!…} reads it as the name of a variable, which may contain code", number)
            self._hold(number, "${!…}", splits=not frame.is_quoted)
        if rest.endswith("@P") and key in holding:
            self.text.refuse("${…@P} reads it as code", holding[key])
        if prefix != "#":
            self._expand(name)

    def _in_document(self, line: str) -> None:
        if line.endswith("\\"):
            self.text.refuse("a line of a here-document ends with a back-slash")
        for name, number in mentioned(line, self._known):
            self.text.refuse(f"it is in a here-document (${name} holds it)", number)

    def _push(self, kind: str, *, depth: int = 0) -> None:
        """Opens quotes or the like, which are part of the word being read."""
        frame = self.stack[-1]
        self.stack.append(
            ShellFrame(
                kind,
                depth=depth,
                outer=frame.bare,
                is_quoted=kind == "double" or (frame.kind != "bare" and frame.is_quoted),
                is_arithmetic=frame.is_arithmetic
                or frame.kind == "arithmetic"
                or (frame.kind == "parameter" and is_computed(frame)),
            )
        )


def is_computed(frame: ShellFrame) -> bool:
    """Whether what comes now in a `${…}` is arithmetic."""
    own = "".join(frame.own[:300])
    match = _PARAMETER.match(own)
    return len(frame.own) > 300 or bool(match and _COMPUTED.match(own[match.end() :]))
