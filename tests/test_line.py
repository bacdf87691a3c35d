"""The line in which prompts of many processes wait: fair between clients, bounded, and empty after."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.errors import RateLimitError
from samovar.serve.line import WaitingLine

pytestmark = pytest.mark.anyio


class Many:
    """Prompts of clients on one line. Mutable: in which order they had their turns."""

    def __init__(self, line: WaitingLine) -> None:
        self.line, self.turns = line, list[str]()
        self.may_end = anyio.Event()

    async def ask(self, client: str) -> None:
        async with self.line.turn(client):
            self.turns.append(client)
            await self.may_end.wait()
            self.line.check()


async def test_each_client_has_its_turn_however_many_prompts_another_one_has() -> None:
    many = Many(WaitingLine(most_active=1))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for client in ("a", "a", "a", "a", "b", "c"):
                tasks.start_soon(many.ask, client)
                await anyio.wait_all_tasks_blocked()
            assert (many.line.active, many.line.waiting) == (1, 5)
            many.may_end.set()
    assert "".join(many.turns) == "aabcaa"
    assert (many.line.active, many.line.waiting) == (0, 0)


async def test_a_client_with_too_many_prompts_hears_its_place_in_line_and_others_wait() -> None:
    many = Many(WaitingLine(most_active=1, most_waiting=2))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for client in ("a", "a", "b", "a"):
                tasks.start_soon(many.ask, client)
                await anyio.wait_all_tasks_blocked()
            with pytest.raises(RateLimitError, match="number 4 in line") as refused:
                await many.ask("a")
            assert refused.value.retry_after_s and refused.value.retryable
            tasks.start_soon(many.ask, "b")
            await anyio.wait_all_tasks_blocked()
            assert many.line.waiting == 4
            many.may_end.set()
    assert sorted(many.turns) == ["a", "a", "a", "b", "b"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12), st.integers(1, 3))
def test_those_who_go_leave_nothing(asked: list[tuple[str, bool]], most_active: int) -> None:
    async def main() -> None:
        many = Many(WaitingLine(most_active=most_active))
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                scopes: list[anyio.CancelScope] = []

                async def ask(client: str, scope: anyio.CancelScope) -> None:
                    with scope:
                        await many.ask(client)

                for client, goes in asked:
                    scope = anyio.CancelScope()
                    if goes:
                        scopes.append(scope)
                    tasks.start_soon(ask, client, scope)
                await anyio.wait_all_tasks_blocked()
                for scope in scopes:
                    scope.cancel()
                    await anyio.wait_all_tasks_blocked()
                    many.line.check()
                many.may_end.set()
        many.line.check()
        assert (many.line.active, many.line.waiting) == (0, 0)

    anyio.run(main)
