"""A shell command, read as POSIX sh reads it: which quotes and brackets are open, and which words are before.

Above: `quoting.py`, which says what is written in the place of a value. Below: `shell_text.py`,
`here_documents.py`, and `commands.py` for what is piped into a shell. It reads far enough to know what is
open around each value; what shells read differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from samovar.actions.commands import refusal
from samovar.actions.here_documents import HereDocuments
from samovar.actions.shell_text import ShellText

_SPECIAL_PARAMETERS = "#?*@!$-0123456789"
_OPERATORS = ";&|\n"
_QUOTES = {"'": "single", '"': "double", "`": "backtick"}


@dataclass(slots=True)
class ShellFrame:
    """What is open: the whole line, or a construct within it."""

    kind: str
    """`bare`, `double`, `single`, `parameter`, `arithmetic`, `backtick`."""
    closes: str = ""
    """For a bare frame: the bracket that ends it, nothing for the whole line."""
    depth: int = 0
    """Of brackets within an arithmetic frame."""
    word: str = ""
    """The word being read, in a bare frame; a value in it is NUL."""
    in_word: bool = False
    words: list[str] = field(default_factory=list)
    """The words before it in the same simple command."""
    piped_value: bool = False
    """An earlier command of the same pipeline holds a value."""
    redirect: bool = False
    """The word being read is the target of a redirection."""
    substitution: bool = False
    """What it gives is part of the word around it: `$(…)`, not `(…)`."""
    has_value: bool = False
    """A value is in it."""


PlaceValue = Callable[[int, Sequence[ShellFrame]], str]
"""Gives what is written for the value with this number, by the frames that are open, the outermost first."""


def innermost_bare(frames: Sequence[ShellFrame]) -> ShellFrame:
    """The innermost bare frame: whose word a quoted piece belongs to."""
    return next(frame for frame in reversed(frames) if frame.kind == "bare")


class ShellReader:
    """Reads one command from left to right. Mutable: what is open."""

    def __init__(self, text: ShellText, place_value: PlaceValue) -> None:
        self.text, self._place_value = text, place_value
        self.stack = [ShellFrame("bare")]
        self.documents = HereDocuments(text)

    def read(self) -> None:
        """Reads the whole command. Raises `UnquotableError`."""
        while (item := self.text.peek()) != "":
            if isinstance(item, int):
                self._value(item)
            else:
                self._character(item)
        if self.stack[-1].kind != "bare" or self.stack[-1].closes:
            self.text.refuse("the quotes or brackets of the command do not end")
        self._end_command("\n")

    def _value(self, number: int) -> None:
        self.text.write(self._place_value(number, self.stack))
        for frame in self.stack:
            frame.has_value = frame.has_value or frame.kind == "bare"
        self._into_word("\0")

    def _into_word(self, text: str) -> None:
        frame = innermost_bare(self.stack)
        frame.word += text
        frame.in_word = True

    # A character, by what is open.

    def _character(self, character: str) -> None:
        if character == "\n" and self.documents and len(self.stack) > 1:
            self.text.refuse("a here-document begins within quotes or brackets")
        {
            "bare": self._in_bare,
            "double": self._in_double,
            "single": self._in_single,
            "parameter": self._in_parameter,
            "arithmetic": self._in_arithmetic,
            "backtick": self._in_backtick,
        }[self.stack[-1].kind](character)

    def _in_single(self, character: str) -> None:
        text = self.text.take()
        self._into_word("" if character == "'" else text)
        if character == "'":
            self.stack.pop()

    def _in_double(self, character: str) -> None:
        if character == '"':
            self.text.take()
            self.stack.pop()
            self._into_word("")
        elif character == "\\":
            self._escape()
        elif character == "$":
            self._dollar(quoted=True)
        elif character == "`":
            self._open("backtick")
        else:
            self._into_word(self.text.take())

    def _in_backtick(self, character: str) -> None:
        self.text.take(2 if character == "\\" else 1)
        if character == "`":
            self.stack.pop()

    def _in_parameter(self, character: str) -> None:
        """Within `${…}`: quotes there are read differently by shells where the whole is quoted."""
        inner = self.stack[self.stack.index(innermost_bare(self.stack)) + 1 :]
        is_quoted = any(frame.kind == "double" for frame in inner[:-1])
        if character == "}":
            self._into_word(self.text.take())
            self.stack.pop()
        elif character == "\\":
            self._escape()
        elif character == "$":
            self._dollar(quoted=True)
        elif character == "`":
            self._open("backtick")
        elif character in "\"'":
            if is_quoted:
                self.text.refuse("shells differ on quotes within a ${…} that stands in quotes")
            self._open(_QUOTES[character])
        else:
            text = self.text.take()
            # What may become several words shows in the word by its blanks.
            self._into_word("_" if is_quoted and text.isspace() else text)

    def _in_arithmetic(self, character: str) -> None:
        if character in "\"'`\\":
            self.text.refuse("shells differ on quotes within arithmetic")
        if character == "$":
            self._dollar(quoted=True)
            return
        frame = self.stack[-1]
        frame.depth += {"(": 1, ")": -1}.get(character, 0)
        self._into_word(self.text.take())
        if not frame.depth:
            self.stack.pop()

    def _in_bare(self, character: str) -> None:
        frame = self.stack[-1]
        if character == "\\":
            self._escape()
        elif character in _QUOTES:
            self._open(_QUOTES[character])
        elif character == "$":
            self._dollar(quoted=False)
        elif character == "#" and not frame.in_word:
            self._comment()
        elif character in " \t":
            self._end_word()
            self.text.take()
        elif character == "<" and self.text.peek(1) == "<":
            self._here()
        elif character in "<>":
            self._end_word()
            self.text.take()
            frame.redirect = True
            if self.text.peek() in ("&", "|", ">"):
                self.text.take()
        elif character in _OPERATORS:
            self._operator(character)
        elif character in "()":
            self._bracket(character)
        else:
            self._into_word(self.text.take())

    def _escape(self) -> None:
        following = self.text.peek(1)
        if isinstance(following, int):
            self.text.refuse("a back-slash stands directly before it", following)
        if following == "\n":
            self.text.take(2)
        else:
            self._into_word(self.text.take(2)[1:])

    def _dollar(self, *, quoted: bool) -> None:
        following = self.text.peek(1)
        if isinstance(following, int):
            self.text.refuse("a $ stands directly before it", following)
        elif following == "(" and self.text.peek(2) == "(":
            self._into_word(self.text.take(3))
            self.stack.append(ShellFrame("arithmetic", depth=2))
        elif following == "(":
            self.text.take(2)
            self._into_word("${}")
            self.stack.append(ShellFrame("bare", closes=")", substitution=True))
        elif following == "{":
            self._into_word(self.text.take(2))
            self.stack.append(ShellFrame("parameter"))
        elif following == "[":
            self.text.refuse("shells differ on $[…]")
        elif following == "'" and not quoted:
            self.text.refuse("shells differ on $'…'")
        elif following != "" and str(following) in _SPECIAL_PARAMETERS:
            self._into_word("${" + self.text.take(2)[1:] + "}")
        else:
            name = self._name_length()
            text = self.text.take(1 + name)
            # Written so that its end is known in the word.
            self._into_word("${" + text[1:] + "}" if name else text)

    def _name_length(self) -> int:
        """How long the name is that follows the $ which is to be read next."""
        length = 0
        while isinstance(item := self.text.peek(length + 1), str) and re.match(r"\w", item, re.ASCII):
            length += 1
        return length

    def _open(self, kind: str) -> None:
        self.text.take()
        self._into_word("${}" if kind == "backtick" else "")
        self.stack.append(ShellFrame(kind))

    def _comment(self) -> None:
        while (item := self.text.peek()) not in ("", "\n"):
            if isinstance(item, int):
                self.text.write("")  # nothing of it is needed: a comment does nothing
            else:
                self.text.take()

    def _bracket(self, character: str) -> None:
        frame = self.stack[-1]
        if character == "(":
            if not frame.in_word and self.text.peek(1) == "(":
                self.text.take(2)
                self.stack.append(ShellFrame("arithmetic", depth=2))
                return
            self._end_word()
            self.text.take()
            self.stack.append(ShellFrame("bare", closes=")"))
            return
        self._end_command(")")
        self.text.take()
        if frame.closes:
            self.stack.pop()
            if frame.substitution:
                self._into_word("")
            else:
                # A new command begins; a value within the brackets may be piped on from here.
                self.stack[-1].words = ["}"]

    def _operator(self, character: str) -> None:
        self._end_command(character if self.text.peek(1) != character else character * 2)
        self.text.take()
        if character == "\n" and self.documents:
            self.documents.skip()

    def _end_word(self) -> None:
        frame = self.stack[-1]
        if frame.in_word:
            if frame.word == "case" and frame.closes:
                self.text.refuse("a `case` stands within brackets, whose end shells find differently")
            if frame.redirect:
                frame.redirect = False
            else:
                frame.words.append(frame.word)
        frame.word, frame.in_word = "", False

    def _end_command(self, operator: str) -> None:
        frame = self.stack[-1]
        self._end_word()
        if frame.piped_value and (why := refusal(frame.words, None)):
            self.text.refuse(why)
        ends_compound = frame.words[:1] and frame.words[0] in ("}", "fi", "done", "esac")
        held = any("\0" in word for word in frame.words) or (ends_compound and frame.has_value)
        frame.piped_value = operator == "|" and bool(held or frame.piped_value)
        frame.words = []
        frame.redirect = False

    def _here(self) -> None:
        """`<<`, which begins a here-document, or `<<<`, which is followed by a word."""
        self._end_word()
        self.text.take(2)
        if self.text.peek() == "<":
            self.text.take()
            self.stack[-1].redirect = True
            return
        self.documents.begin()
