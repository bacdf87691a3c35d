"""Reads the line of an action piece by piece: words, texts in quotes, bare values, `key=value` pairs.

Above: the verbs, one file each. Below: templates. A text in quotes ends at its own quote, wherever values
are filled in later: `{{ … }}`, `{% … %}` and `${…}` within it are read as one piece, quotes and all. A
back-slash counts only before the text's own quote (`\\"` is a quote, `\\\\"` a back-slash and the end).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NoReturn

from samovar.actions.given import LOOP_OPTIONS, OF_RETRIES, Pair, Value, changed_in
from samovar.errors import Fault, FaultsError, Place, nearest
from samovar.expressions.names import normal
from samovar.language.markdown import TextBlock
from samovar.language.markup import Markup
from samovar.language.pieces import piece_end
from samovar.language.template import Rules, Template
from samovar.values import literal, positive_duration_s

_WORD = re.compile(r"[^\W\d][\w-]*")
_KEY = re.compile(r"([^\W\d][\w-]*)\s*=(?!=)\s*")
_BLANKS = re.compile(r"\s*")
_COMMA = re.compile(r",\s*")
_BACKSLASHES = re.compile(r"\\+")
_LITERAL = re.compile(r"[^\\{$\"']+")  # what means nothing but itself, in either quotes
_LIMIT = re.compile(rf"(?:with\s+)?(?:timeout|{'|'.join(OF_RETRIES)})\s*=(?!=)", re.IGNORECASE)
OPEN_TEXT = "open-text"
"""The code of the fault of a text in quotes without its end."""


@dataclass(slots=True, kw_only=True)
class Scanner:
    """A place in the line of an action. Every method that reads moves it on."""

    text: str
    place: Place
    """Place of the text's first character."""
    form: str = ""
    """How the action is written, for the messages."""
    at: int = 0
    faults: list[Fault] = field(default_factory=list)
    """What was found wrong without having to stop."""
    is_old: bool = False
    """The line is in a file of the older system."""
    timeout: Value | None = None
    """The time limit, which any action may have."""
    again: dict[str, Pair] = field(default_factory=dict)
    """How often it is performed again, which any action may say too; by key."""
    tools: Value | None = None  # those of prompts that name none themselves
    block: TextBlock | None = None
    """The fenced block below the line, until something takes it for its text."""
    loop_options: dict[str, Pair] | None = None
    """What belongs to the `for each` of the line, by name: `pair` takes it aside. None: the line has none."""
    _markup: Markup | None = None

    def where(self, offset: int | None = None) -> Place:
        return self._marks.place(self.at if offset is None else offset)

    def note(self, code: str, message: str, place: Place) -> None:
        """Records a fault and continues."""
        self.faults.append(Fault(code=code, message=message, place=place))

    def fail(self, message: str, offset: int | None = None, code: str = "action-syntax") -> NoReturn:
        """Records a fault and stops."""
        form = f" The form is: {self.form}" if self.form else ""
        self.note(code, message + form, self.where(offset))
        raise FaultsError(self.faults)

    def found(self) -> str:
        """What is here, for a message."""
        self.blanks()
        rest = self.text[self.at :].split("\n")[0].strip()
        return f"found {rest[:30]!r}" if rest else "the line ends"

    def blanks(self) -> None:
        self.at = _BLANKS.match(self.text, self.at).end()  # type: ignore[union-attr]

    @property
    def is_done(self) -> bool:
        """Nothing but blanks is left."""
        self.blanks()
        return self.at >= len(self.text)

    def end(self) -> None:
        """Nothing may follow but what any action may have. Raises `FaultsError` with all that was noted."""
        while self.is_at_limit:
            self.word("with")
            for pair in self.pairs():
                if pair.key == "timeout":
                    self.limit(pair.value)
                else:
                    self.unknown(pair, ("timeout", *OF_RETRIES))
        if not self.is_done:
            self.fail(f"Nothing more is expected, {self.found()}.")
        if self.block is not None:
            why = "This action takes no block, or already has its text on its line."
            self.note("action-syntax", why, self.block.place)
        if self.faults:
            raise FaultsError(self.faults)

    @property
    def is_at_limit(self) -> bool:
        """`timeout=`, `retries=` or `backoff=` is here."""
        self.blanks()
        return _LIMIT.match(self.text, self.at) is not None

    def limit(self, value: Value) -> None:
        """Takes `timeout=`."""
        if value.is_literal and positive_duration_s(value.given) is None:
            self.note("option-value", "`timeout` must be a duration above 0, as in 30s or 2min.", value.place)
        self.timeout = value

    def symbol(self, symbol: str) -> bool:
        """Takes this character if it is here."""
        self.blanks()
        self.at += len(symbol) * (found := self.text.startswith(symbol, self.at))
        return found

    def rest(self) -> tuple[str, int]:
        """All that is left, and where it begins."""
        self.blanks()
        begin, self.at = self.at, len(self.text)
        return self.text[begin:].rstrip(), begin

    def peek_word(self) -> str:
        """The word that is here, in lower case, or nothing."""
        self.blanks()
        match = _WORD.match(self.text, self.at)
        return match.group().lower() if match else ""

    def word(self, *words: str) -> str:
        """Takes one of these words if it is here and is not a key; else takes nothing and gives nothing."""
        found = self.peek_word()
        if found in words and not _KEY.match(self.text, self.at):
            self.at += len(found)
            return found
        return ""

    def quoted(self, *, shell: bool = False) -> Value | None:
        """Takes a text in quotes if one is here."""
        self.blanks()
        if self.text[self.at : self.at + 1] not in ('"', "'"):
            return None
        begin, rules = self.at, Rules(shell=shell, is_old=self.is_old)
        content, self.at = self._string(begin, rules)
        template = Template.parse(content, self.where(begin + 1), rules)
        given = template.fill({}) if template.is_plain else None
        is_text = not self.is_old and not template.is_value
        return Value(template=template, quoted=True, place=self.where(begin), given=given, is_text=is_text)

    def expect_quoted(self, what: str, *, shell: bool = False) -> Value:
        if (value := self.quoted(shell=shell)) is None:
            self.fail(f"{what} in quotes is expected, {self.found()}.")
        return value

    def value(self) -> Value:
        """Takes a value: a text in quotes, or bare: a word, a number, JSON, or `${path}`."""
        if (quoted := self.quoted()) is not None:
            return quoted
        begin = self.at
        self.at = self._bare_end(begin)
        if self.at == begin:
            self.fail(f"A value is expected, {self.found()}.")
        bare = self.text[begin : self.at]
        template = Template.parse(bare, self.where(begin), Rules(is_old=self.is_old))
        given = literal(template.fill({})) if template.is_plain else None
        if bare[0] in "[{" and not self.is_old and (changed := changed_in(template)):
            self.note("action-syntax", changed, self.where(begin))
        return Value(template=template, quoted=False, place=self.where(begin), given=given)

    def pair(self) -> Pair | None:
        """Takes `key=value`, and a comma before it, if that is here."""
        while (found := self._any_pair()) and self.loop_options is not None and found.key in LOOP_OPTIONS:
            if found.key in self.loop_options:
                self.note("action-syntax", f"{found.key!r} is given twice.", found.place)
            self.loop_options[found.key] = found
        return found

    def _any_pair(self) -> Pair | None:
        self.blanks()
        comma = _COMMA.match(self.text, self.at)
        begin = comma.end() if comma else self.at
        match = _KEY.match(self.text, begin)
        if match is None:
            return None
        self.at = match.end()
        return Pair(key=match.group(1), value=self.value(), place=self.where(begin))

    def pairs(self) -> list[Pair]:
        """Takes all the pairs that are here, those of `again` aside. A key that comes twice is a fault."""
        pairs, seen = list[Pair](), set(self.again)
        while pair := self.pair():
            if pair.key in seen:
                self.note("action-syntax", f"{pair.key!r} is given twice.", pair.place)
            seen.add(pair.key)
            pairs.append(pair)
        self.again |= {pair.key: pair for pair in pairs if pair.key in OF_RETRIES}
        return [pair for pair in pairs if pair.key not in OF_RETRIES]

    def variable(self, pair: Pair) -> str:
        """The name of a variable to store a result in."""
        if not (name := str(pair.value.given) if pair.value.is_literal else "").isidentifier():
            message = '`result` must name a variable (letters, digits and _), as in result="answer".'
            self.note("action-syntax", message, pair.value.place)
        return normal(name)

    def unknown(self, pair: Pair, known: Collection[str], what: str = "option") -> None:
        """Notes a key that nothing takes."""
        near = nearest(pair.key, (*known, *OF_RETRIES)) or nearest(pair.key, known)
        message = f"There is no {what} {pair.key!r}.{near}"
        self.note(f"unknown-{what}", message, pair.place)

    def outside(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The first match from here on that is in no text, no bracket and no value. Takes nothing."""
        at, depth, rules = self.at, 0, Rules(is_old=self.is_old)
        while at < len(self.text):
            character = self.text[at]
            if not depth and (found := pattern.match(self.text, at)) is not None:
                return found
            if character in "{$" and (end := piece_end(self._marks, at, rules)) > at:
                at = end
            elif character in "\"'" and not self.text[at - 1 : at].isalnum():
                try:
                    at = self._string(at, rules)[1]
                except FaultsError:  # which is said by anyone who reads it
                    self.faults.pop()
                    return None
            else:
                at, depth = at + 1, depth + (character in "([{") - (character in ")]}")
        return None

    @property
    def _marks(self) -> Markup:
        self._markup = self._markup or Markup(self.text, self.place)
        return self._markup

    def _string(self, begin: int, rules: Rules) -> tuple[str, int]:
        """The content of the text in quotes that begins here, and where it ends."""
        quote = self.text[begin]
        content: list[str] = []
        at = begin + 1
        while at < len(self.text):
            character = self.text[at]
            if character == quote:
                return "".join(content), at + 1
            if character == "\\":
                written, at = self._backslashes(at, quote)
                content.append(written)
            elif character in "{$" and (end := piece_end(self._marks, at, rules)) > at:
                piece = self.text[at:end]
                # In an expression `\"` is read unchanged.
                is_liquid = character == "{" or rules.is_old
                content.append(piece.replace("\\" + quote, quote) if is_liquid else piece)
                at = end
            else:
                literal = _LITERAL.match(self.text, at)
                end = literal.end() if literal else at + 1
                content.append(self.text[at:end])
                at = end
        self.fail("The text in quotes does not end.", begin, OPEN_TEXT)

    def _backslashes(self, at: int, quote: str) -> tuple[str, int]:
        """What back-slashes mean, and where what they mean ends."""
        run = _BACKSLASHES.match(self.text, at).group()  # type: ignore[union-attr]
        at += len(run)
        if self.text[at : at + 1] != quote:
            return run, at
        is_quote = len(run) % 2
        return "\\" * (len(run) // 2) + quote * is_quote, at + is_quote

    def _bare_end(self, begin: int) -> int:
        """Where a bare value ends: at a blank or a comma outside brackets, texts and templates."""
        at, depth, rules = begin, 0, Rules(is_old=self.is_old)
        while at < len(self.text):
            character = self.text[at]
            if self.text.startswith("{%", at):
                self.fail("A tag cannot be part of a bare value.", at)
            if character in "{$" and (end := piece_end(self._marks, at, rules)) > at:
                at = end
            elif character == '"':
                if not depth:
                    break
                at = self._string(at, rules)[1]
            elif character in "[{":
                depth += 1
                at += 1
            elif character in "]}":
                depth -= 1
                at += 1
            elif depth <= 0 and (character.isspace() or character == ","):
                break
            else:
                at += 1
        if depth > 0:
            self.fail("A bracket is not closed.", begin)
        return at
