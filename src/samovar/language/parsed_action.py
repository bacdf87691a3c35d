"""The language's view of an action: its parser is passed in, and its effect is not known here.

Above: the values of a workflow, and whatever reads one. Below: places, and blocks of Markdown. The contract
that every action keeps is in `actions/base.py`.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from samovar.errors import Place
from samovar.language.markdown import TextBlock
from samovar.language.model_names import Named


class ParsedAction(Protocol):
    """What the workflow knows of an action; the contract is in `actions/base.py`."""

    verb: ClassVar[str]
    effect: ClassVar[str | None]
    """What it does outside of the run; None: nothing."""
    asks_prompt: ClassVar[bool]
    """It has a prompt answered."""
    runs_command: ClassVar[bool]
    """Its failure also has an exit code."""

    @property
    def place(self) -> Place:
        """Where its first character is."""
        ...

    @property
    def timeout(self) -> object | None:
        """The time it may take; None: as long as it takes."""
        ...

    @property
    def doing(self) -> str:
        """Its effect, whole as written."""
        ...

    @property
    def variants(self) -> tuple[ParsedAction, ...]:
        """What it can become; itself, if tags do not decide that."""
        ...

    @property
    def runs(self) -> str | None:
        """The name of the workflow that it runs; None if it runs none, or only the run knows which."""
        ...

    def no_answer(self, text: str) -> str | None:
        """Why a text cannot answer what it asks a person, as far as that is known before the run."""
        ...

    @property
    def each(self) -> ParsedAction | None:
        """What it performs for each item of a list; None if it does no such thing."""
        ...

    @property
    def repeats_inside(self) -> bool:
        """It has the inner diagram of its composite performed for each item of a list."""
        ...

    @property
    def item_names(self) -> frozenset[str]:
        """The variables that only what it performs for each item can read."""
        ...

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that must be on this machine before the run begins."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The variables it reads."""
        ...

    @property
    def sets(self) -> frozenset[str]:
        """The variables it sets, besides `result` and so on."""
        ...


def always_aborts(action: ParsedAction) -> bool:
    """Whether it ends the run, whatever it becomes, so that nothing leads on from its state."""
    return all(one.verb == "abort" for one in action.variants)


class ParseAction(Protocol):
    """Reads an action's text; raises `FaultsError` (`unknown-action` if its first word is not a verb)."""

    def __call__(
        self,
        text: str,
        place: Place,
        *,
        is_old: bool = False,
        block: TextBlock | None = None,
        tools: Named | None = None,
    ) -> ParsedAction: ...
