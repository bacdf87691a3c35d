"""Reads a shell command like sh and bash: the open constructs around each value, and the word it is in.

Above: `quoting.py`, which says what is written in the place of a value. Below: `shell_command_reader.py` for
words and commands, `here_documents.py`. It reads far enough to know what is open; what shells read
differently is refused. Each character is read once.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from samovar.actions.here_documents import HereDocuments
from samovar.actions.shell_builtins import Known, in_arithmetic, mentioned
from samovar.actions.shell_command_reader import CommandReader
from samovar.actions.shell_frames import ShellFrame
from samovar.actions.shell_text import ShellText
from samovar.actions.shell_word_reader import is_computed
from samovar.actions.shell_words import SimpleCommand

_SPECIAL_PARAMETERS = "#?*@!$-0123456789"
_OPERATORS = ";&|\n"
_QUOTES = {"'": "single", '"': "double", "`": "backtick"}

PlaceValue = Callable[[int, ShellFrame], str]
"""Gives what is written for the value with this number, by the innermost frame that is open."""


class ShellReader(CommandReader):
    """Reads one command from left to right. Mutable: what is open, and the known facts about variables.

    What is known only grows: if that makes a difference to what has been read, it is read again.
    """

    def __init__(self, text: ShellText, place_value: PlaceValue, known: Known, *, is_bash: bool) -> None:
        super().__init__(text, known, is_bash=is_bash)
        self._place_value = place_value
        self.documents = HereDocuments(text, self._in_document)

    def read(self) -> None:
        """Reads the whole command. Raises `UnquotableError`."""
        while (item := self.text.peek()) != "":
            if isinstance(item, int):
                self.text.write(self._place_value(item, self.stack[-1]))
                self._hold(item, "", splits=False)
                self._into_word("\0")
            else:
                self._character(item)
        if len(self.stack) > 1:
            self.text.refuse("the quotes or brackets of the command do not end")
        self._end_command("\n")

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
            self._dollar()
        elif character == "`":
            self._open("backtick")
        else:
            self._into_word(self.text.take())

    def _in_backtick(self, character: str) -> None:
        frame = self.stack[-1]
        if character == "\\" and self.text.peek(1) == "\n":
            self.text.refuse("a line continues inside back-ticks; write $(…) instead")
        frame.own.append(self.text.take(2 if character == "\\" else 1))
        if character == "`":
            for name, number in mentioned("".join(frame.own), self._known):
                self.text.refuse(
                    f"back-ticks read quotes twice; write $(…) instead (${name} contains it)", number
                )
            self.stack.pop()
            if (fed := self.stack[-1].bare.flow.fed) is not None:
                self.text.refuse("back-ticks read quotes twice; write $(…) instead", fed)

    def _in_parameter(self, character: str) -> None:
        """Within `${…}`: quotes there are read differently by shells if the whole is quoted."""
        frame = self.stack[-1]
        if character == "}":
            self._into_word(self.text.take())
            self.stack.pop()
            self._end_parameter(frame)
        elif character == "\\":
            self._escape()
        elif character == "$":
            self._dollar()
        elif character == "`":
            self._open("backtick")
        elif character in "\"'":
            if frame.is_quoted or is_computed(frame):
                self.text.refuse("shells differ on quotes within a quoted ${…}")
            self._open(_QUOTES[character])
        else:
            text = self.text.take()
            frame.own.append(text)
            self._into_word(text)
            frame.bare.several = frame.bare.several or (text.isspace() and not frame.is_quoted)

    def _in_arithmetic(self, character: str) -> None:
        frame = self.stack[-1]
        if character in "\"'`\\":
            self.text.refuse("shells differ on quotes within arithmetic")
        if character == "$":
            frame.own.append(" ")
            self._dollar()
            return
        frame.depth += {"(": 1, ")": -1}.get(character, 0)
        self._into_word(self.text.take())
        if not frame.depth:
            if frame.own[-1:] != [")"]:
                self.text.refuse("shells differ on ((…) …)")
            self.stack.pop()
            self._check(in_arithmetic("".join(frame.own), self._known))
        frame.own.append(character)

    def _in_bare(self, character: str) -> None:
        frame, following = self.stack[-1], self.text.peek(1)
        if character == "\\":
            self._escape()
        elif character in _QUOTES:
            self._open(_QUOTES[character])
        elif character == "$":
            self._dollar()
        elif character == "#" and not frame.in_word:
            self._comment()
        elif character in " \t":
            self._end_word()
            self.text.take()
        elif character in "<>" and following == "(":
            self.text.take(2)
            self._open_bare(character + "(…)")
        elif character == "<" and following == "<":
            self._here()
        elif character in "<>":
            self._end_descriptor()
            frame.redirect = self.text.take()
            if self.text.peek() in ("&", "|", ">"):
                frame.redirect += self.text.take()
        elif character == "&" and following == ">":
            self.text.refuse("shells differ on &>; write > FILE 2>&1")
        elif character in _OPERATORS:
            self._operator(character)
        elif character in "()":
            self._bracket(character)
        else:
            self._plain(self.text.take())

    def _escape(self) -> None:
        following = self.text.peek(1)
        if isinstance(following, int):
            self.text.refuse("a back-slash is directly before it", following)
        if following == "\n":
            self._join_lines()
        else:
            self._into_word(self.text.take(2)[1:])
            self.stack[-1].bare.has_quotes = True

    def _dollar(self) -> None:
        following, frame = self.text.peek(1), self.stack[-1]
        if isinstance(following, int):
            self.text.refuse("a $ is directly before it", following)
        elif following == "(" and self.text.peek(2) == "(":
            self._into_word(self.text.take(3))
            self._push("arithmetic", depth=2)
        elif following == "(":
            self.text.take(2)
            self._open_bare("$(…)")
        elif following == "{":
            self._into_word(self.text.take(2))
            self._push("parameter")
        elif following == "[":
            self.text.refuse("shells differ on $[…]")
        elif following == "'" and frame.kind == "bare":
            self.text.refuse("shells differ on $'…'")
        elif following != "" and str(following) in _SPECIAL_PARAMETERS:
            name = self.text.take(2)[1:]
            self._into_word("${" + name + "}")
            self._expand(name)
        else:
            length = self._name_length()
            text = self.text.take(1 + length)
            # Written so that its end is known in the word.
            self._into_word("${" + text[1:] + "}" if length else text)
            self._expand(text[1:])

    def _name_length(self) -> int:
        """How long the name is that follows the $ which is to be read next."""
        length = 0
        while isinstance(item := self.text.peek(length + 1), str) and re.match(r"\w", item, re.ASCII):
            length += 1
        return length

    # What opens and closes.

    def _open(self, kind: str) -> None:
        self.text.take()
        self._into_word("${}" if kind == "backtick" else "")
        self.stack[-1].bare.has_quotes = True
        self._push(kind)

    def _comment(self) -> None:
        while (item := self.text.peek()) not in ("", "\n"):
            if isinstance(item, int):
                self.text.write("")  # nothing of it is needed: a comment does nothing
            else:
                self.text.take()

    def _bracket(self, character: str) -> None:
        frame = self.stack[-1]
        if character == ")":
            self._end_command(")")
            self.text.take()
            if frame.closes:
                self.stack.pop()
                self._end_bare(frame)
            return
        if frame.in_word and frame.word and frame.word[-1] == "=":
            self.text.take()
            self._open_bare("=(…)")
        elif self._is_function(frame):
            self._end_word()
            self._know_function()
            frame.command, frame.at_start = SimpleCommand(), True
            while self.text.take() != ")":
                pass
        elif not frame.in_word and self.text.peek(1) == "(":
            if not self._is_bash:
                self.text.refuse("shells differ on ((…)); write $((…)), or ( (…) )")
            self.text.take(2)
            self._push("arithmetic", depth=2)
        else:
            self._end_word()
            self.text.take()
            self._open_bare("")

    def _is_function(self, frame: ShellFrame) -> bool:
        """Whether `NAME (` is followed by a bracket that closes at once: a function begins."""
        ahead = 1
        while self.text.peek(ahead) in (" ", "\t"):
            ahead += 1
        return self.text.peek(ahead) == ")" and (frame.in_word or len(frame.command.words) == 1)

    # Words and commands.

    def _operator(self, character: str) -> None:
        frame = self.stack[-1]
        if frame.is_array:
            self._end_word()
            self.text.take()
            return
        following = self.text.peek(1)
        is_pipe = character == "|" and following != "|"
        self._end_command("|" if is_pipe else character)
        self.text.take(2 if following == character or (is_pipe and following == "&") else 1)
        if character == "\n" and self.documents:
            self.documents.skip()

    # Here-documents.

    def _here(self) -> None:
        """`<<`, which begins a here-document, or `<<<`, which is followed by a word."""
        self._end_descriptor()
        self.text.take(2)
        if self.text.peek() == "<":
            self.text.take()
            self.stack[-1].redirect = "<<<"
            return
        self.documents.begin()
