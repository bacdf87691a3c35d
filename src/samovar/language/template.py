"""Templates of action lines and prompts: parsed once, filled with values that are never parsed.

Above: prompts and actions. Below: `pieces.py`, and `rendering.py`, which is Liquid and is imported only for a
template that needs it: plain text, expressions and plain paths are filled here. A template does not know
whether what it fills is a prompt or a command; `hold` gives the pieces to anyone who must quote them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from samovar.errors import Fault, Place, TemplateError
from samovar.expressions.expression import Expression
from samovar.language.dollars import Rules, value_of
from samovar.language.paths import Path
from samovar.language.pieces import Held, Partials, Piece, Token, outlined, syntax_fault, tokenize
from samovar.values import joined, to_text

if TYPE_CHECKING:
    from samovar.language.rendering import Rendering

__all__ = ["LIQUID_ONLY", "OF_ACTION", "Held", "Partials", "Piece", "Rules", "Template", "holding"]

OF_ACTION = Rules()
"""The rules for texts of actions in new files."""
LIQUID_ONLY = Rules(dollar=False)
"""The rules for prompts: `${` is plain text in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text with values to fill in. Made by `Template.parse`."""

    text: str
    """As written."""
    place: Place
    """Place of its first character."""
    names: frozenset[str]
    """The variables it reads; not those of the partials it takes."""
    pieces: tuple[str | Path | Expression, ...]
    """What it is made of, if that needs no Liquid."""
    rendering: Rendering | None
    """What fills it if it needs Liquid."""
    rules: Rules
    """What it may hold."""
    outline: tuple[Piece, ...] | None
    """The literal pieces and, with value None, the held ones; None if tags decide what there is."""
    expressions: tuple[Expression, ...] = ()
    """Each `${…}`, in the order of the text; those of old files are paths if they can be."""
    paths: tuple[Path, ...] = ()
    """Each path to a part of a variable that Liquid, or a `${…}` of an old file, takes."""
    uses: Mapping[str, Path | Expression] = field(default_factory=dict, compare=False, repr=False)
    """The first `${…}` or plain `{{ path }}` that reads each variable."""
    faults: tuple[Fault, ...] = field(default=(), compare=False, repr=False)
    """What is to be said of it, though it can be read."""

    @classmethod
    def parse(
        cls, text: str, place: Place, rules: Rules = OF_ACTION, *, partials: Partials | None = None
    ) -> Template:
        """Reads a template.

        Args:
            text: As written.
            place: Of its first character.
            rules: What it may hold besides Liquid. A command takes only tags whose output can be held.
            partials: Finds what `{% render %}` and `{% include %}` name.

        Raises:
            FaultsError: `template-syntax`; `condition-syntax` and `unknown-function` for a `${…}`.
        """
        tokens = tokenize(text, place, rules)
        if "\0" in text:
            where = place.within(text, text.index("\0"))
            raise syntax_fault("A template cannot contain a NUL character.", where)
        rendering = None
        if any(_is_liquid(token) for token in tokens):
            rendering = _rendering(text, place, tokens, held_only=rules.shell, partials=partials)
        return cls._of(text, place, tokens, rendering, rules)

    @classmethod
    def _of(
        cls, text: str, place: Place, tokens: Sequence[Token], rendering: Rendering | None, rules: Rules
    ) -> Template:
        pieces = () if rendering is not None else tuple(_pieces(tokens))
        values = [token.value for token in tokens if token.value is not None]
        uses = {name: value for value in reversed(values) for name in value.names}
        has_tags = any(token.kind == "tag" for token in tokens)
        paths = tuple(value for value in values if isinstance(value, Path) and len(value.steps) > 1)
        return cls(
            text=text,
            place=place,
            names=frozenset(uses) if rendering is None else rendering.names,
            pieces=pieces,
            rendering=rendering,
            rules=rules,
            outline=None if has_tags else tuple(map(outlined, tokens)),
            expressions=tuple(value for value in values if isinstance(value, Expression)),
            paths=paths if rendering is None else rendering.paths,
            uses=uses,
            faults=tuple(token.fault for token in tokens if token.fault),
        )

    @property
    def is_value(self) -> bool:
        """It is exactly one `${…}`."""
        only = self.pieces[0] if len(self.pieces) == 1 else None
        return isinstance(only, Expression) or (isinstance(only, Path) and only.dollar)

    @property
    def is_plain(self) -> bool:
        """There is nothing to fill in: `fill` gives the same text whatever the variables."""
        return self.rendering is None and not self.names

    def where(self, name: str) -> Place:
        """Where it reads a variable first, as far as that is known."""
        use = self.uses.get(name)
        if isinstance(use, Expression):
            return use.where(name)
        if use is not None:
            return self.place.within(self.text, max(self.text.find(name, use.offset), use.offset))
        begin = min((self.text.find(mark) for mark in ("{{", "{%") if mark in self.text), default=0)
        found = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)").search(self.text, begin)
        return self.place.within(self.text, found.start() if found else begin)

    def fill(self, variables: Mapping[str, object]) -> str:
        """The text with every value in its place.

        Raises `TemplateError` naming what is not there and the nearest name that is.
        """
        if self.rendering is not None:
            return self.rendering.fill(variables)
        if len(self.pieces) == 1 and isinstance(self.pieces[0], str):
            return self.pieces[0]
        texts = (
            piece if isinstance(piece, str) else to_text(self._value(piece, variables))
            for piece in self.pieces
        )
        return joined(texts, "The filled text", self.place)

    def written(self, variables: Mapping[str, object]) -> str | None:
        """The text that its tags leave, if all of it is in the template itself; else None."""
        if self.rendering is None or self.outline is not None:
            return None
        pieces = self.rendering.hold(variables, ())
        return "".join(map(str, pieces)) if all(isinstance(piece, str) for piece in pieces) else None

    def value(self, variables: Mapping[str, object]) -> object:
        """The value itself, with its type, if the template is wholly one value; else the filled text."""
        if self.rendering is not None:
            held = self.rendering.hold(variables, ())
            if len(held) == 1 and isinstance(held[0], Held):
                return held[0].value
            texts = (piece if isinstance(piece, str) else to_text(piece.value) for piece in held)
            return joined(texts, "The filled text", self.place)
        if len(self.pieces) == 1 and not isinstance(self.pieces[0], str):
            return self._value(self.pieces[0], variables)
        return self.fill(variables)

    def hold(self, variables: Mapping[str, object], left: Container[str] = ()) -> tuple[Piece, ...]:
        """The pieces, with values not filled in.

        In an old file a `${name}` that is not a variable but is in `left` stays as written.
        """
        if self.rendering is not None:
            return self.rendering.hold(variables, left)
        held: list[Piece] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                held.append(piece)
            elif isinstance(piece, Path) and piece.dollar and _is_left(piece, variables, left):
                held.append(piece.source)
            else:
                held.append(Held(value=self._value(piece, variables)))
        return tuple(held)

    def _value(self, piece: Path | Expression, variables: Mapping[str, object]) -> object:
        if isinstance(piece, Expression):
            return value_of(piece, variables)
        try:
            return piece.walk(variables)
        except KeyError as error:
            place = self.place.within(self.text, piece.offset)
            raise TemplateError(error.args[0], place=place) from None


def _is_left(path: Path, variables: Mapping[str, object], left: Container[str]) -> bool:
    return len(path.steps) == 1 and path.steps[0] not in variables and path.steps[0] in left


def _pieces(tokens: Sequence[Token]) -> Iterator[str | Path | Expression]:
    """The values of a text without Liquid, and what is between them."""
    literal: list[str] = []
    for token in tokens:
        if token.value is None:
            literal.append(token.text)
            continue
        if literal:
            yield "".join(literal)
            literal.clear()
        yield token.value
    if literal:
        yield "".join(literal)


def _rendering(
    text: str, place: Place, tokens: Sequence[Token], *, held_only: bool, partials: Partials | None
) -> Rendering:
    from samovar.language.rendering import Rendering

    return Rendering.parse(text, place, tokens, held_only=held_only, partials=partials)


def _is_liquid(token: Token) -> bool:
    """Liquid must read it, also to report mistakes in it."""
    if token.kind == "text":
        return "{{" in token.text or "{%" in token.text
    return token.value is None or bool(token.rest)


def holding(text: str, place: Place) -> Template:
    """A whole action line as a template whose values are held and whose `${…}` stay as they are."""
    rules = Rules(dollar=False, shell=True)
    tokens = tokenize(text, place, rules)
    rendering = _rendering(text, place, tokens, held_only=True, partials=None)
    return Template._of(text, place, tokens, rendering, rules)
