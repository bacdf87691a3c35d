"""Puts values into a shell command so that none can add a word or a command to it.

Above: `shell.py`. Below: nothing but text. The command is read as POSIX sh reads it, far enough to know in
which quotes each value stands; the value itself goes through the environment. Where quotes alone do not
keep a value from being read as code (arithmetic, here-documents, back-ticks, the text of a nested shell,
and what shells read differently), the value is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from samovar.actions.commands import refusal, warning
from samovar.language.pieces import Held, Piece

VARIABLE = "SAMOVAR_VALUE_{}"
"""The environment variable of the value with this number."""


class UnquotableError(Exception):
    """A value stands where it cannot be quoted. `number` says which."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.message, self.number = message, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """A command with its values in the environment."""

    command: str
    held: tuple[Held, ...]
    """The values, by the numbers of their variables."""
    warnings: tuple[tuple[int, str], ...]
    """What is doubtful, by the number of the value."""


def quote(pieces: Sequence[Piece]) -> Quoted:
    """The command made of these pieces. What is `| raw` must be text already.

    Raises `UnquotableError`.
    """
    items: list[str | int] = []
    held: list[Held] = []
    for piece in pieces:
        if isinstance(piece, Held):
            items.append(len(held))
            held.append(piece)
        else:
            items.extend(piece)
    reader = _Reader(items, has_values=bool(held))
    return Quoted(command=reader.read(), held=tuple(held), warnings=tuple(reader.warnings))


@dataclass(slots=True)
class _Frame:
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
    """A value stood in it."""


_SPECIAL_PARAMETERS = "#?*@!$-0123456789"
_OPERATORS = ";&|\n"


class _Reader:
    """Reads the items of a command from left to right, and writes the command with variables in place."""

    def __init__(self, items: list[str | int], *, has_values: bool) -> None:
        self.items, self.at = items, 0
        self.has_values = has_values
        self.number = next((item for item in items if isinstance(item, int)), 0)
        self.out: list[str] = []
        self.stack = [_Frame("bare")]
        self.documents: list[tuple[str, bool]] = []
        self.warnings: list[tuple[int, str]] = []

    def read(self) -> str:
        if not self.has_values:
            return "".join(item for item in self.items if isinstance(item, str))
        while self.at < len(self.items):
            item = self.items[self.at]
            if isinstance(item, int):
                self._value(item)
            else:
                self._character(item)
        if self.stack[-1].kind != "bare" or self.stack[-1].closes:
            self._refuse("the quotes or brackets of the command do not end")
        self._end_command("\n")
        return "".join(self.out)

    def _refuse(self, why: str, number: int | None = None) -> None:
        raise UnquotableError(why, self.number if number is None else number)

    def _peek(self, ahead: int = 1) -> str | int:
        at = self.at + ahead
        return self.items[at] if at < len(self.items) else ""

    def _take(self, count: int = 1) -> str:
        """Copies so many characters; a value among them is an error of this reader's."""
        taken = self.items[self.at : self.at + count]
        self.at += len(taken)
        text = "".join(str(item) for item in taken)
        self.out.append(text)
        return text

    @property
    def _bare_frame(self) -> _Frame:
        """The innermost bare frame: whose word a quoted piece belongs to."""
        return next(frame for frame in reversed(self.stack) if frame.kind == "bare")

    def _into_word(self, text: str) -> None:
        frame = self._bare_frame
        frame.word += text
        frame.in_word = True

    # A value.

    def _value(self, number: int) -> None:
        kind = self.stack[-1].kind
        refused = _NO_PLACE.get(kind)
        if refused:
            self._refuse(refused, number)
        for index, frame in enumerate(self.stack):
            if frame.substitution and (split := self._why_not_given(index)):
                self._refuse(split, number)
            if frame.kind == "bare":
                why = refusal(frame.words, frame.word + ("\0" if frame is self._bare_frame else ""))
                if why:
                    self._refuse(why, number)
                frame.has_value = True
        self._doubt(number)
        self._into_word("\0")
        name = VARIABLE.format(number)
        written = {"bare": f'"${{{name}}}"', "double": f"${{{name}}}", "single": f"'\"${{{name}}}\"'"}
        self.out.append(written[kind])
        self.at += 1

    def _doubt(self, number: int) -> None:
        frame = self._bare_frame
        doubt = None if frame.redirect else warning(frame.words, frame.word)
        if doubt:
            self.warnings.append((number, doubt))

    def _why_not_given(self, index: int) -> str | None:
        """Why what the substitution at this place of the stack gives must not hold a value."""
        around = self.stack[:index]
        if around[-1].kind == "arithmetic":
            return _NO_PLACE["arithmetic"]
        bare = max(at for at, frame in enumerate(around) if frame.kind == "bare")
        if any(frame.kind == "double" for frame in around[bare:]):
            return None
        outer = around[bare]
        if re.match(r"[A-Za-z_]\w*=", outer.word) and not outer.words:
            return None
        return 'what the $(…) around it gives is split into words; put that in quotes: "$(…)"'

    # A character, by what is open.

    def _character(self, character: str) -> None:
        if character == "\n" and self.documents and len(self.stack) > 1:
            self._refuse("a here-document begins within quotes or brackets")
        {
            "bare": self._in_bare,
            "double": self._in_double,
            "single": self._in_single,
            "parameter": self._in_parameter,
            "arithmetic": self._in_arithmetic,
            "backtick": self._in_backtick,
        }[self.stack[-1].kind](character)

    def _in_single(self, character: str) -> None:
        text = self._take()
        self._into_word("" if character == "'" else text)
        if character == "'":
            self.stack.pop()

    def _in_double(self, character: str) -> None:
        if character == '"':
            self._take()
            self.stack.pop()
            self._into_word("")
        elif character == "\\":
            self._escape()
        elif character == "$":
            self._dollar(quoted=True)
        elif character == "`":
            self._open("backtick")
        else:
            self._into_word(self._take())

    def _in_backtick(self, character: str) -> None:
        self._take(2 if character == "\\" else 1)
        if character == "`":
            self.stack.pop()

    def _in_parameter(self, character: str) -> None:
        """Within `${…}`: quotes there are read differently by shells where the whole is quoted."""
        inner = self.stack[self.stack.index(self._bare_frame) + 1 :]
        is_quoted = any(frame.kind == "double" for frame in inner[:-1])
        if character == "}":
            self._into_word(self._take())
            self.stack.pop()
        elif character == "\\":
            self._escape()
        elif character == "$":
            self._dollar(quoted=True)
        elif character == "`":
            self._open("backtick")
        elif character in "\"'":
            if is_quoted:
                self._refuse("shells differ on quotes within a ${…} that stands in quotes")
            self._open("double" if character == '"' else "single")
        else:
            text = self._take()
            # What may become several words shows in the word by its blanks.
            self._into_word("_" if is_quoted and text.isspace() else text)

    def _in_arithmetic(self, character: str) -> None:
        if character in "\"'`\\":
            self._refuse("shells differ on quotes within arithmetic")
        if character == "$":
            self._dollar(quoted=True)
            return
        frame = self.stack[-1]
        frame.depth += {"(": 1, ")": -1}.get(character, 0)
        self._into_word(self._take())
        if not frame.depth:
            self.stack.pop()

    def _in_bare(self, character: str) -> None:
        frame = self.stack[-1]
        if character == "\\":
            self._escape()
        elif character == "'":
            self._open("single")
        elif character == '"':
            self._open("double")
        elif character == "`":
            self._open("backtick")
        elif character == "$":
            self._dollar(quoted=False)
        elif character == "#" and not frame.in_word:
            self._comment()
        elif character in " \t":
            self._end_word()
            self._take()
        elif character == "<" and self._peek() == "<":
            self._document()
        elif character in "<>":
            self._end_word()
            self._take()
            frame.redirect = True
            if self._peek(0) in ("&", "|", ">"):
                self._take()
        elif character in _OPERATORS:
            self._operator(character)
        elif character in "()":
            self._bracket(character)
        else:
            self._into_word(self._take())

    def _escape(self) -> None:
        following = self._peek()
        if isinstance(following, int):
            self._refuse("a back-slash stands directly before it", following)
        if following == "\n":
            self._take(2)
        else:
            self._into_word(self._take(2)[1:])

    def _dollar(self, *, quoted: bool) -> None:
        following = self._peek()
        if isinstance(following, int):
            self._refuse("a $ stands directly before it", following)
        elif following == "(" and self._peek(2) == "(":
            self._into_word(self._take(3))
            self.stack.append(_Frame("arithmetic", depth=2))
        elif following == "(":
            self._take(2)
            self._into_word("${}")
            self.stack.append(_Frame("bare", closes=")", substitution=True))
        elif following == "{":
            self._into_word(self._take(2))
            self.stack.append(_Frame("parameter"))
        elif following == "[":
            self._refuse("shells differ on $[…]")
        elif following == "'" and not quoted:
            self._refuse("shells differ on $'…'")
        elif following != "" and str(following) in _SPECIAL_PARAMETERS:
            self._into_word("${" + self._take(2)[1:] + "}")
        else:
            name = self._name_length()
            text = self._take(1 + name)
            # Written so that its end is known in the word.
            self._into_word("${" + text[1:] + "}" if name else text)

    def _name_length(self) -> int:
        """Of the name that stands behind the $ that stands here."""
        length = 0
        while isinstance(item := self._peek(length + 1), str) and re.match(r"\w", item, re.ASCII):
            length += 1
        return length

    def _open(self, kind: str) -> None:
        self._take()
        self._into_word("${}" if kind == "backtick" else "")
        self.stack.append(_Frame(kind))

    def _comment(self) -> None:
        while self.at < len(self.items) and self.items[self.at] != "\n":
            item = self.items[self.at]
            if isinstance(item, int):
                # Nothing of it is needed: a comment does nothing.
                self.at += 1
            else:
                self._take()

    def _bracket(self, character: str) -> None:
        frame = self.stack[-1]
        if character == "(":
            if not frame.in_word and self._peek() == "(":
                self._take(2)
                self.stack.append(_Frame("arithmetic", depth=2))
                return
            self._end_word()
            self._take()
            self.stack.append(_Frame("bare", closes=")"))
            return
        self._end_command(")")
        self._take()
        if frame.closes:
            self.stack.pop()
            if frame.substitution:
                self._into_word("")
            else:
                # A new command begins; a value within the brackets may be piped on from here.
                self.stack[-1].words = ["}"]

    def _operator(self, character: str) -> None:
        self._end_command(character if self._peek() != character else character * 2)
        self._take()
        if character == "\n" and self.documents:
            self._skip_documents()

    def _end_word(self) -> None:
        frame = self.stack[-1]
        if frame.in_word:
            if frame.word == "case" and frame.closes:
                self._refuse("a `case` stands within brackets, whose end shells find differently")
            if frame.redirect:
                frame.redirect = False
            else:
                frame.words.append(frame.word)
        frame.word, frame.in_word = "", False

    def _end_command(self, operator: str) -> None:
        frame = self.stack[-1]
        self._end_word()
        why = refusal(frame.words, None) if frame.piped_value else None
        if why:
            self._refuse(why)
        ends_compound = frame.words[:1] and frame.words[0] in ("}", "fi", "done", "esac")
        held = any("\0" in word for word in frame.words) or (ends_compound and frame.has_value)
        frame.piped_value = operator == "|" and bool(held or frame.piped_value)
        frame.words = []
        frame.redirect = False

    # Here-documents.

    def _document(self) -> None:
        self._end_word()
        self._take(2)
        if self._peek(0) == "<":
            self._take()
            self.stack[-1].redirect = True
            return
        indented = self._peek(0) == "-"
        if indented:
            self._take()
        while self._peek(0) in (" ", "\t"):
            self._take()
        delimiter = ""
        while self.at < len(self.items):
            item = self.items[self.at]
            if isinstance(item, int):
                self._refuse("it stands in the delimiter of a here-document", item)
            if str(item) in " \t\n;&|<>()":
                break
            delimiter += self._take()
        if "$" in delimiter or "`" in delimiter:
            self._refuse("the delimiter of the here-document is not plain")
        self.documents.append((re.sub(r"[\"'\\]", "", delimiter), indented))

    def _skip_documents(self) -> None:
        for delimiter, indented in self.documents:
            while self.at < len(self.items):
                line = self._line()
                if (line.lstrip("\t") if indented else line) == delimiter:
                    break
        self.documents = []

    def _line(self) -> str:
        line = ""
        while self.at < len(self.items):
            item = self.items[self.at]
            if isinstance(item, int):
                self._refuse("it stands in a here-document", item)
            self._take()
            if item == "\n":
                break
            line += str(item)
        return line


_NO_PLACE = {
    "parameter": "it stands within ${…}",
    "arithmetic": "it stands within arithmetic, where the shell would read it as an expression",
    "backtick": "it stands within back-ticks, where quotes are read twice; write $(…) instead",
}
