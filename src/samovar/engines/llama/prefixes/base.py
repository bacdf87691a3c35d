"""The contract of a prefix store: finds evaluated prefixes of an arena, and keeps new ones.

Above: `arena.py` and `admission.py`, which ask in the decode loop, and the members: `tree.py` for memory that
can be cut at any token, `states.py` for memory that cannot. Below: the nodes of the tree, which rows pin, and
`disk_index.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from samovar.engines.base import Conversation
from samovar.engines.llama.prefixes.disk_index import PromptDigests
from samovar.engines.llama.prefixes.node import NOBODY, Origin, PrefixNode

Blob = bytes | bytearray | memoryview
"""What the engine gives as the state of a sequence."""


@dataclass(slots=True, eq=False)
class Row:
    """A running sequence: the tokens in its cells, and how many of these nobody shares."""

    sequence: int
    """Its number in the engine."""
    origin: Origin = NOBODY
    """Whose prompt it is."""
    seen: int | None = None
    """This many tokens of its prompt others have asked for before, known or not; None: not looked up yet."""
    tokens: list[int] = field(default_factory=list)
    own: int = 0
    node: PrefixNode | None = None
    """The pinned end of what it shares with the tree."""
    grows: bool = False
    """The node was made by this row, so further chunks of the prompt belong to it."""

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Carried:
    """The state of the positions `start` to the end of `tokens`, who may continue from there, and who has
    asked for it."""

    tokens: list[int]
    start: int
    blob: Blob
    claims: frozenset[Conversation]
    origin: Origin


class Prefixes(Protocol):
    """What the decode loop asks of a memory. A row is begun once, and given back once."""

    is_cut_anywhere: ClassVar[bool]
    """What a row has evaluated is known at once, to its last token."""

    @property
    def used_cells(self) -> int:
        """Held for their prefix; rows' own cells are not in it."""
        ...

    @property
    def lost_tokens(self) -> int:
        """Evaluated again, although they were known, because the memory cannot be cut there."""
        ...

    @property
    def version(self) -> tuple[int, int]:
        """Another one whenever `known` may give another length: until then it can be remembered."""
        ...

    def known(self, tokens: Sequence[int], digests: PromptDigests | None = None) -> int:
        """The length of the prefix that is there, at most all but the last token. `digests`: of `tokens`, if
        they were asked about before."""
        ...

    def is_room(self, tokens: Sequence[int], cells: int, rows: Iterable[Row], promised: int) -> bool:
        """Whether a row of `cells` in the end would fit beside `rows` and what is `promised` to them,
        once everything nobody uses is given up."""
        ...

    def begin(
        self,
        row: Row,
        tokens: Sequence[int],
        cells: int,
        *,
        goes_on: bool,
        digests: PromptDigests | None = None,
    ) -> None:
        """`row`, which is empty, takes the longest known prefix of all but the last of `tokens`; `cells` may
        hold prefixes while it is brought back. `goes_on`: a conversation may continue from its end.
        `digests`: as for `known`."""
        ...

    def stop(self, row: Row, tokens: Sequence[int]) -> int:
        """Where the next chunk of this prompt has to end at the latest."""
        ...

    def share(self, row: Row, prompt: Sequence[int], tokens: Sequence[int]) -> int:
        """How much of `tokens` will be known once `row` has evaluated enough of `prompt`."""
        ...

    def evaluated(self, row: Row, prompt: Sequence[int]) -> None:
        """A chunk of the prompt of `row` was evaluated."""
        ...

    def make_room(self, cells: int, wanted: Iterable[Sequence[int]] = ()) -> None:
        """Gives up what is least useful until `cells` hold the prefixes and no more."""
        ...

    def tidy(self, held: int, wanted: Iterable[Sequence[int]]) -> None:
        """Gives up what only makes each token slower; `held` cells are the rows' own, or promised to them,
        and the prompts `wanted` wait for theirs."""
        ...

    def give_back(self, row: Row, conversation: Conversation | None) -> None:
        """`row` is done. With a conversation somebody may continue from its end."""
        ...

    def save(self) -> bool:
        """Copies one prefix that is worth it to disk. False when there is none left."""
        ...

    def clear(self) -> None:
        """Gives up everything that no row uses."""
        ...

    def carry(self, limit_bytes: int) -> list[Carried]:
        """Copies of what there is, parents first, as far as they take no more than `limit_bytes`."""
        ...

    def accept(self, carried: Sequence[Carried]) -> None:
        """Takes what another arena has carried, as far as there is room."""
        ...

    def check(self, rows: Sequence[Row]) -> None: ...
