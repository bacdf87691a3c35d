"""The items of a list, as an action passes them to the run that performs them, and their results.

Above: the contract of actions, `for_each.py`, and the loop. Below: what the language knows of an action.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from samovar.errors import ActionError
from samovar.language.parsed_action import ParsedAction


class CommonAnswer(NamedTuple):
    """What prompts said that were asked for the items of a list: it may be what the run is for."""

    text: str
    is_picked: bool
    """Among choices, and so for the workflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Items of a list, each of which something is to be done for."""

    name: str
    """The variable that an item is in; its number, from 0 on, is in `NAME_index`."""
    values: Sequence[object]
    at_once: int
    """How many are worked on together, at least 1."""
    action: ParsedAction | None
    """What is performed for each; None: the inner diagram of the composite."""
    collect: str | None = None
    """The kept part of each: this variable, or this value of a sub-workflow; None: its result."""
    variables: Mapping[str, object]
    """What each item begins with a copy of."""
    goes_on: bool = False
    """After a failure the others continue, and a record says of each how it went; else it ends all."""


RunItems = Callable[[Items], Awaitable[list[object]]]
"""Does what there is to do for each item, and gives what was kept of each, in the order of the items.

Raises `ChildError` for the first failure, unless it `goes_on`.
"""


async def no_items(_: Items) -> list[object]:
    """See `RunItems`: if nothing is performed but a single action."""
    raise ActionError("There is nothing here to do for each item.")


def too_many(count: int, limit: int | None, most: int) -> str | None:
    """Mistakes in a list of this many items; None if nothing is.

    `limit`: of the workflow, None: none; `most`: of any other, as the setting says.
    """
    allowed = most if limit is None else limit
    if count <= allowed:
        return None
    return (
        f"The list has {count} items, but one `for each` goes through at most {allowed}. To allow all of "
        f"them: "
        f"`limits: {{items: {count}}}` in the front matter, or the setting `most_items`."
    )
