"""One node of a prefix tree: a range of a token path, its past requests, and possible continuations.

Above: `radix.py`, which alone changes the tree; `tree.py` and `states.py`, which speak of origins. Below:
what a prefix is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from samovar.engines.base import Conversation
from samovar.models.worth import Uses


@dataclass(frozen=True, slots=True)
class Origin:
    """Who has asked for tokens: that says how likely they are to come again, and where they may be kept."""

    asker: Conversation | None = None
    """The only conversation that has asked for them; None: a single question, or several have."""
    is_shared: bool = False
    """Others have asked for these too."""
    is_secret: bool = False
    """All that asked for them said that they must not be written to disk."""
    is_answer: bool = False
    """They are what the asker was answered, or what it has said after that."""

    @property
    def is_over(self) -> bool:
        """They were of use to a conversation that nobody continues or repeats, and to nobody else."""
        asker = self.asker if self.is_answer else None
        return asker is not None and asker.is_over and not asker.may_come_again

    @property
    def may_be_kept(self) -> bool:
        """They are likely to come again, and no secret."""
        return self.is_shared and not self.is_secret

    def joined(self, other: Origin) -> Origin:
        """The origin of tokens that are partly of this origin and partly of the other."""
        asker = self.asker if self.asker is other.asker else None
        return Origin(
            asker,
            is_shared=self.is_shared and other.is_shared,
            is_secret=self.is_secret or other.is_secret,
            is_answer=self.is_answer and other.is_answer,
        )

    def asked_by(self, other: Origin) -> Origin:
        """The origin of tokens that another requests again."""
        is_again = other.is_shared or other.asker is None or other.asker is not self.asker
        return Origin(
            asker=None if is_again else self.asker,
            is_shared=self.is_shared or is_again,
            is_secret=self.is_secret and other.is_secret,
            is_answer=self.is_answer and not is_again,
        )


NOBODY = Origin()
"""A single question, by nobody who continues from it."""


@dataclass(slots=True, eq=False)
class PrefixNode:
    """The tokens at the positions `start` to `end` of a path, and the sequence that holds their cells."""

    parent: PrefixNode | None
    """None for the root."""
    start: int
    tokens: list[int]
    sequence: int
    """Its number in the engine; -1 for the root."""
    uses: Uses
    children: dict[int, PrefixNode] = field(default_factory=dict)
    """By their first token."""
    pins: int = 0
    """Running sequences whose path ends here; with one, neither it nor an ancestor is given up."""
    step: int = 0
    """The tree's decode steps when it was last of use."""
    origin: Origin = NOBODY
    claims: set[Conversation] = field(default_factory=set)
    """Who may continue from its end."""
    saved: int = 0
    """How many of its tokens, from its start, are on disk."""

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    @property
    def is_saved(self) -> bool:
        """All of it is on disk."""
        return self.saved >= len(self.tokens)

    def unsaved_from(self) -> int:
        """The position from which on nothing of its path is on disk."""
        node = self
        while not node.saved and node.parent is not None and not node.parent.is_saved:
            node = node.parent
        return node.start + node.saved

    def open_claims(self) -> set[Conversation]:
        """Who may still continue from its end; the others are forgotten."""
        if self.claims:
            self.claims = {claim for claim in self.claims if not claim.is_over}
        return self.claims

    def path(self) -> list[PrefixNode]:
        """From the root's child to this one."""
        nodes: list[PrefixNode] = []
        node: PrefixNode | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def prefix(self) -> list[int]:
        """All tokens from position 0 to `end`."""
        return [token for node in self.path() for token in node.tokens]
