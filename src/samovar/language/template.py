"""Templates of action lines and prompts: parsed once, filled by values that are never parsed.

Above: prompts and actions. Below: `pieces.py`, and `rendering.py`, which is Liquid and is imported only
for a template that needs it: plain text and plain paths are filled here. A template does not know
whether what it fills is a prompt or a command; `hold` gives the pieces to whoever must quote them.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samovar.errors import Place, TemplateError
from samovar.language.pieces import Held, Partials, Path, Piece, Token, outlined, syntax_fault, tokenize
from samovar.values import joined, to_text

if TYPE_CHECKING:
    from samovar.language.rendering import Rendering

__all__ = ["Held", "Partials", "Piece", "Template", "holding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text with values to fill in. Made by `Template.parse`."""

    text: str
    """As it was written."""
    place: Place
    """Of its first character."""
    names: frozenset[str]
    """The variables it reads, by the first step of their paths; not those of the partials it takes."""
    pieces: tuple[str | Path, ...]
    """What it is made of, where that needs no Liquid."""
    rendering: Rendering | None
    """What fills it where it needs Liquid."""
    dollar: bool
    """It reads `${path}` too; else that is plain text in it."""
    outline: tuple[Piece, ...] | None
    """The literal pieces and, with value None, the held ones; None where tags decide what there is."""

    @classmethod
    def parse(
        cls,
        text: str,
        place: Place,
        *,
        dollar: bool = True,
        shell: bool = False,
        partials: Partials | None = None,
    ) -> Template:
        """Reads a template.

        `dollar` reads `${path}` too. `shell` leaves a `${…}` that is no path as it is, and takes only tags
        whose output can be held. `partials` finds what `{% render %}` and `{% include %}` name.

        Raises `FaultsError` with the code `template-syntax`.
        """
        tokens = tokenize(text, dollar=dollar, shell=shell, place=place)
        if "\0" in text:
            where = place.within(text, text.index("\0"))
            raise syntax_fault("A NUL character cannot stand in a template.", where)
        if any(_is_liquid(token) for token in tokens):
            rendering = _rendering(text, place, tokens, held_only=shell, partials=partials)
            return cls._of_liquid(text, place, tokens, rendering, dollar=dollar)
        return cls._of_paths(text, place, tokens, dollar=dollar)

    @classmethod
    def _of_paths(cls, text: str, place: Place, tokens: Sequence[Token], *, dollar: bool) -> Template:
        pieces: list[str | Path] = []
        for token in tokens:
            if token.path is None and pieces and isinstance(pieces[-1], str):
                pieces[-1] += token.text
            else:
                pieces.append(token.path or token.text)
        paths = [piece for piece in pieces if isinstance(piece, Path)]
        return cls(
            text=text,
            place=place,
            names=frozenset(str(path.steps[0]) for path in paths),
            pieces=tuple(pieces),
            rendering=None,
            dollar=dollar,
            outline=tuple(map(outlined, tokens)),
        )

    @classmethod
    def _of_liquid(
        cls, text: str, place: Place, tokens: Sequence[Token], rendering: Rendering, *, dollar: bool
    ) -> Template:
        has_tags = any(token.kind == "tag" for token in tokens)
        return cls(
            text=text,
            place=place,
            names=rendering.names,
            pieces=(),
            rendering=rendering,
            dollar=dollar,
            outline=None if has_tags else tuple(map(outlined, tokens)),
        )

    @property
    def is_plain(self) -> bool:
        """There is nothing to fill in: `fill` gives the same text whatever the variables."""
        return self.rendering is None and not self.names

    def fill(self, variables: Mapping[str, object]) -> str:
        """The text with every value in its place.

        Raises `TemplateError` naming what is not there and the nearest name that is.
        """
        if self.rendering is not None:
            return self.rendering.fill(variables)
        if len(self.pieces) == 1 and isinstance(self.pieces[0], str):
            return self.pieces[0]
        texts = (
            piece if isinstance(piece, str) else to_text(self._walk(piece, variables))
            for piece in self.pieces
        )
        return joined(texts, "The filled text")

    def written(self, variables: Mapping[str, object]) -> str | None:
        """The text that its tags leave, where all of it stands in the template itself; else None."""
        if self.rendering is None or self.outline is not None:
            return None
        pieces = self.rendering.hold(variables, ())
        return "".join(map(str, pieces)) if all(isinstance(piece, str) for piece in pieces) else None

    def value(self, variables: Mapping[str, object]) -> object:
        """The value itself, with its type, where the template is wholly one value; else the filled text."""
        if self.rendering is not None:
            held = self.rendering.hold(variables, ())
            if len(held) == 1 and isinstance(held[0], Held):
                return held[0].value
            texts = (piece if isinstance(piece, str) else to_text(piece.value) for piece in held)
            return joined(texts, "The filled text")
        if len(self.pieces) == 1 and isinstance(self.pieces[0], Path):
            return self._walk(self.pieces[0], variables)
        return self.fill(variables)

    def hold(self, variables: Mapping[str, object], left: Container[str] = ()) -> tuple[Piece, ...]:
        """The pieces, with values not filled in.

        A `${name}` that is no variable but is in `left` stays as it is written.
        """
        if self.rendering is not None:
            return self.rendering.hold(variables, left)
        held: list[Piece] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                held.append(piece)
            elif piece.dollar and len(piece.steps) == 1 and self._is_left(piece, variables, left):
                held.append(piece.source)
            else:
                held.append(Held(value=self._walk(piece, variables)))
        return tuple(held)

    def _is_left(self, path: Path, variables: Mapping[str, object], left: Container[str]) -> bool:
        return path.steps[0] not in variables and path.steps[0] in left

    def _walk(self, path: Path, variables: Mapping[str, object]) -> object:
        try:
            return path.walk(variables)
        except KeyError as error:
            at = max(self.text.find(path.source), 0)
            raise TemplateError(error.args[0], place=self.place.within(self.text, at)) from None


def _rendering(
    text: str, place: Place, tokens: Sequence[Token], *, held_only: bool, partials: Partials | None
) -> Rendering:
    from samovar.language.rendering import Rendering

    return Rendering.parse(text, place, tokens, held_only=held_only, partials=partials)


def _is_liquid(token: Token) -> bool:
    """Liquid must read it, also to say what is wrong with it."""
    if token.kind == "text":
        return "{{" in token.text or "{%" in token.text
    return token.kind != "path"


def holding(text: str, place: Place) -> Template:
    """A whole action line as a template whose values are held and whose `${…}` stay as they are."""
    tokens = tokenize(text, dollar=False, shell=True, place=place)
    rendering = _rendering(text, place, tokens, held_only=True, partials=None)
    return Template._of_liquid(text, place, tokens, rendering, dollar=False)
