"""An action line with tags around its parts, as in `Log {% if late %}"late"{% else %}"early"{% endif %}`.

The tags are expanded when the action is performed, with the values held out: what is then read as an
action is only what the author wrote, with a name in the place of each value. Before the run the line is
read once for each way its tags can go, and has to be an action in at least one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING

from samovar.actions.base import Action, ActionContext, Outcome, brief, made_of
from samovar.actions.scanner import Scanner
from samovar.actions.time_limit import perform
from samovar.errors import ActionError, Fault, FaultsError, Place
from samovar.language.pieces import Held, Piece, Token, tokenize
from samovar.language.template import Rules, Template, holding

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow
    from samovar.library import Library

Parse = Callable[[str, Place], Action]

_TAG_NAME = re.compile(r"\{%-?\s*(\w+|#)")
_NAME = "samovar_held_{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional(Action):
    place: Place
    line: Template
    """The whole line; its `${…}` are left to the action that it becomes."""
    ways: tuple[Action, ...]
    """What it can become, as far as that is known."""
    parse_action: Parse = field(compare=False, repr=False)

    @classmethod
    def parse(cls, line: Scanner) -> Conditional:
        """No word begins it: `of_line` reads a line that has tags."""
        raise TypeError(f"{line.text!r} cannot be identified by its first word")

    @classmethod
    def of_line(cls, text: str, place: Place, parse_action: Parse) -> Conditional:
        """Raises `FaultsError` if the line is an action whichever way its tags go."""
        line = holding(text, place)
        tokens = tokenize(text, place, Rules(dollar=False, shell=True))
        variants: list[Action] = []
        first: FaultsError | None = None
        for pick in range(_ways(tokens)):
            variant = _variant(tokens, pick)
            if not variant.strip():
                continue
            try:
                variants.append(parse_action(variant, place))
            except FaultsError as error:
                first = first or error
        if not variants:
            raise first or FaultsError(
                [Fault(code="action-syntax", message="The tags leave no action in this line.", place=place)]
            )
        if any(variant.repeats_inside for variant in variants):
            message = "Tags cannot enclose the `For each` of a composite: use an edge that goes around it."
            raise FaultsError([Fault(code="action-syntax", message=message, place=place)])
        return cls(place=place, line=line, ways=tuple(variants), parse_action=parse_action)

    @property
    def verb(self) -> str:  # type: ignore[override]  # what it will be is known of the instance only
        return self.ways[0].verb

    @property
    def effect(self) -> str | None:  # type: ignore[override]  # likewise
        return next((variant.effect for variant in self.ways if variant.effect is not None), None)

    @property
    def runs_command(self) -> bool:  # type: ignore[override]  # likewise
        return any(variant.runs_command for variant in self.ways)

    @property
    def asks_prompt(self) -> bool:  # type: ignore[override]  # likewise
        return any(variant.asks_prompt for variant in self.ways)

    @property
    def variants(self) -> tuple[Action, ...]:
        return tuple(variant for way in self.ways for variant in way.variants)

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(name for variant in self.ways for name in variant.programs)

    @property
    def is_repeatable(self) -> bool:
        return all(variant.is_repeatable for variant in self.ways)

    @property
    def names(self) -> frozenset[str]:
        names = self.line.names.union(*(variant.names for variant in self.ways))
        return frozenset(name for name in names if not name.startswith("samovar_held"))

    @property
    def sets(self) -> frozenset[str]:
        return frozenset().union(*(variant.sets for variant in self.ways))

    @property
    def what(self) -> str:
        return brief(self.line.text)

    @property
    def doing(self) -> str:
        return self.line.text + made_of(self.names)

    def faults(self, library: Library, workflow: Workflow) -> tuple[Fault, ...]:
        # What tags are around may be written otherwise in one of their ways: that is for a person to fix.
        found = [
            replace(fault, fix=None) for variant in self.ways for fault in variant.faults(library, workflow)
        ]
        return tuple(dict.fromkeys(found))

    def become(self, variables: Mapping[str, object]) -> tuple[Action, dict[str, object]] | None:
        """The action that it is with these variables, and the variables for it; None if it is none."""
        text, held = _written(self.line.hold(variables))
        return (self.parse_action(text, self.place), {**variables, **held}) if text.strip() else None

    async def act(self, context: ActionContext) -> Outcome:
        return await self.perform(context)  # what it becomes may have no effect, and is asked itself

    async def perform(self, context: ActionContext) -> Outcome:
        became = await context.compute(lambda: self.become(context.variables))
        if became is None:
            return Outcome()
        action, variables = became
        if action.effect is not None and self.effect is None:
            raise ActionError(
                f"The tags make an action of this line that {action.effect}, which cannot be seen before "
                "the run. Write its first word without tags.",
                place=self.place,
            )
        return await perform(action, replace(context, variables=variables))


def _written(pieces: Sequence[Piece]) -> tuple[str, dict[str, object]]:
    """The line with a name in the place of each value, and the values by those names."""
    text, held = "", dict[str, object]()

    def name(value: object) -> str:
        held[_NAME.format(len(held))] = value
        return _NAME.format(len(held) - 1)

    for piece in pieces:
        if isinstance(piece, Held):
            text += "{{ " + name(piece.value) + (" | raw" if piece.raw else "") + " }}"
        else:
            # What is literally meant (it was in a raw block) must not be read again.
            text += re.sub(r"\{\{|\{%", lambda found: "{{ " + name(found.group()) + " }}", piece)
    return text, held


@dataclass(slots=True)
class _Block:
    """An open `if`, `unless` or `case`."""

    kind: str
    branch: int = field(default=0)

    def is_taken(self, pick: int) -> bool:
        if self.kind == "unless":
            return self.branch == (1 if pick == 0 else 0)
        return self.branch == (pick + 1 if self.kind == "case" else pick)


def _names(tokens: Sequence[Token]) -> list[str]:
    matches = (_TAG_NAME.match(token.text) for token in tokens if token.kind == "tag")
    return [match.group(1) for match in matches if match]


def _ways(tokens: Sequence[Token]) -> int:
    """How many ways are tried: one for each branch of the block that has most."""
    branches = reduce(lambda count, name: count + (name in ("elsif", "when")), _names(tokens), 2)
    return min(branches, 16)


def _variant(tokens: Sequence[Token], pick: int) -> str:
    """The line where every block takes the branch with this number."""
    blocks: list[_Block] = []
    text = ""
    for token in tokens:
        if token.kind != "tag":
            if all(block.is_taken(pick) for block in blocks):
                text += token.text
            continue
        match = _TAG_NAME.match(token.text)
        name = match.group(1) if match else ""
        if name in ("if", "unless", "case"):
            blocks.append(_Block(name))
        elif name in ("else", "elsif", "when") and blocks:
            blocks[-1].branch += 1
        elif name in ("endif", "endunless", "endcase") and blocks:
            blocks.pop()
    return text
