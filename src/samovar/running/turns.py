"""Turns on the event loop: concurrent tasks take them in the same order on every machine.

Above: the loop. Below: anyio.
"""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint


async def give_others_a_turn() -> None:
    """Others on the event loop have a turn, and a cancellation comes through.

    After each visit: counted, not timed, so that the branches of a fork take turns in the same order on any
    machine. A time limit that has passed meanwhile counts, although nobody could say so before: what it is
    of cannot complete any more.
    """
    await checkpoint()
    if anyio.current_effective_deadline() <= anyio.current_time():
        await anyio.sleep_forever()  # until the limit's cancellation comes, which is on its way
