"""The time of cases passes at once, in the order in which things would happen, never while a task acts."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.testing.clock import FOREVER_S, EndlessError, SimulatedClock

pytestmark = pytest.mark.anyio


async def in_branches(clock: SimulatedClock, *sleeps_s: tuple[float, ...]) -> list[tuple[int, float]]:
    """Branches that sleep so long, one time after the other. Gives who woke when, in the order of waking."""
    woke: list[tuple[int, float]] = []

    async def branch(number: int) -> None:
        with branches.one():
            for duration_s in sleeps_s[number]:
                await clock.sleep(duration_s)
                woke.append((number, clock.time_s()))

    async with anyio.create_task_group() as tasks:
        branches = clock.branches(len(sleeps_s), tasks.cancel_scope)
        for number in range(len(sleeps_s)):
            tasks.start_soon(branch, number)
    return woke


async def test_a_sleep_takes_no_time_and_moves_the_clock() -> None:
    clock = SimulatedClock()
    await clock.sleep(3600)
    await clock.sleep(0)
    assert clock.time_s() == 3600


async def test_what_is_due_first_wakes_first() -> None:
    clock = SimulatedClock()
    assert await in_branches(clock, (5, 1), (2, 2, 9), (1,)) == [
        *((2, 1), (1, 2), (1, 4), (0, 5), (0, 6)),
        (1, 13),
    ]
    await clock.sleep(1)
    assert clock.time_s() == 14


async def test_a_limit_ends_what_takes_as_long_or_longer() -> None:
    clock = SimulatedClock()
    for duration_s, is_over in ((9, False), (10, True), (11, True), (FOREVER_S, True)):
        with clock.move_on_after(10) as limit:
            await clock.sleep(duration_s)
        assert limit.cancelled_caught is is_over
    assert clock.time_s() == 39
    with clock.move_on_after(None) as limit:
        await clock.sleep(100)
    assert not limit.cancelled_caught


async def test_of_limits_within_each_other_the_nearer_one_ends_what_is_in_it() -> None:
    clock = SimulatedClock()
    with clock.move_on_after(10) as outer:
        with clock.move_on_after(4) as inner:
            await clock.sleep(5)
        assert inner.cancelled_caught and clock.time_s() == 4
        await clock.sleep(7)
    assert outer.cancelled_caught and clock.time_s() == 10


async def test_a_limit_around_branches_ends_all_of_them_before_time_goes_on() -> None:
    clock = SimulatedClock()
    with clock.move_on_after(30) as outer:
        with clock.move_on_after(10) as limit:
            await in_branches(clock, (20,), (40,), (3, 50))
        assert limit.cancelled_caught and clock.time_s() == 10
        await clock.sleep(19)
    assert not outer.cancelled_caught


async def test_a_branch_that_ends_the_others_ends_them_at_its_time() -> None:
    clock = SimulatedClock()
    ended: list[float] = []

    async def sleeps(duration_s: float) -> None:
        with branches.one():
            try:
                await clock.sleep(duration_s)
            finally:
                ended.append(clock.time_s())

    async def stops() -> None:
        with branches.one():
            await clock.sleep(2)
            branches.cancel()

    with clock.move_on_after(1000) as limit:
        async with anyio.create_task_group() as tasks:
            branches = clock.branches(3, tasks.cancel_scope)
            tasks.start_soon(sleeps, 10)
            tasks.start_soon(stops)
            tasks.start_soon(sleeps, FOREVER_S)
    assert ended == [2, 2] and clock.time_s() == 2 and not limit.cancel_called
    await clock.sleep(1)
    assert clock.time_s() == 3


async def test_what_nothing_ends_is_an_error() -> None:
    with pytest.raises(EndlessError):
        await SimulatedClock().sleep(FOREVER_S)


@given(st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=1, max_size=5), st.integers(1, 12))
def test_branches_and_a_limit_are_as_in_a_time_that_passes(sleeps: list[list[int]], limit_s: int) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        woke: list[tuple[int, float]] = []
        with clock.move_on_after(limit_s) as limit:
            woke = await in_branches(clock, *(tuple(one) for one in sleeps))
        longest = max(sum(one) for one in sleeps)
        assert limit.cancelled_caught is (longest >= limit_s)
        assert clock.time_s() == min(longest, limit_s)
        if not limit.cancelled_caught:
            assert [time for _, time in woke] == sorted(time for _, time in woke)
            for number, one in enumerate(sleeps):
                mine = [time for who, time in woke if who == number]
                assert mine == [sum(one[: at + 1]) for at in range(len(one))]

    anyio.run(run)
