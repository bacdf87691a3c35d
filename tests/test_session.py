"""Sessions: a conversation grows by whole turns, and gives everything back on every path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.base import Conversation, GenerationEvent, Model, ModelSpec, OnEnd, OnLoadProgress
from samovar.engines.scripted import ScriptedEngine, ScriptedModel
from samovar.errors import BudgetError, ClosedError, ContextError, UsageError
from samovar.generation import FinishReason, GoingOn, Message, Options, TextGenerated
from samovar.models.cost import Cost
from samovar.serving.conversation import without_oldest
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

pytestmark = pytest.mark.anyio

SPEC = ModelSpec(reference="scripted", path=Path("scripted"))


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def count_messages(messages: Sequence[Message]) -> str:
    return f"{len(messages)} messages"


@asynccontextmanager
async def open_sessions(engine: ScriptedEngine | None = None) -> AsyncIterator[Sessions]:
    with anyio.fail_after(60):
        async with Pool(engine or ScriptedEngine(count_messages), budget_bytes=1) as pool:
            sessions = Sessions(pool)
            yield sessions
            sessions.check()
            statistics = sessions.statistics()
            assert statistics.opened == statistics.closed
            assert pool.statistics().leases == 0


async def test_a_conversation_grows_by_question_and_answer() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        assert (await session.ask(user("one"))).text == "1 messages"
        turn = await session.ask(user("two"))
        assert turn.text == "3 messages"
        assert turn.reason is FinishReason.STOP
        assert [message.role for message in session.messages] == ["user", "assistant", "user", "assistant"]


async def test_a_system_message_comes_first_and_replaces_the_one_before() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        await session.ask([Message(role="system", content="old"), *user("one")])
        await session.ask([*user("two"), Message(role="system", content="new")])
        assert [m.content for m in session.messages if m.role == "system"] == ["new"]
        assert session.messages[0].content == "new"


async def test_a_cancelled_turn_is_not_part_of_the_conversation() -> None:
    async def never() -> None:
        await anyio.sleep_forever()

    async with open_sessions(ScriptedEngine(pause=never)) as sessions, sessions.open(SPEC) as session:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.ask(user("one"))
        assert session.messages == ()


async def test_an_exception_in_a_callback_comes_out_and_everything_is_given_back() -> None:
    def deaf(event: object) -> None:
        if isinstance(event, TextGenerated):
            raise ZeroDivisionError

    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        with pytest.raises(ZeroDivisionError):
            await session.ask(user("one"), on_event=deaf)
        assert session.messages == ()
        assert (await session.ask(user("again"))).text == "1 messages"


async def test_a_timeout_ends_the_turn_and_says_so() -> None:
    async def never() -> None:
        await anyio.sleep_forever()

    async with open_sessions(ScriptedEngine(pause=never)) as sessions, sessions.open(SPEC) as session:
        turn = await session.ask(user("one"), Options(timeout_s=0.01))
        assert turn.reason is FinishReason.TIMEOUT
        assert session.messages == ()  # who asks again asks what was asked before


async def test_turns_of_one_session_come_one_after_the_other() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(session.ask, user(str(number)))
        assert session.messages[-1].content == "9 messages"


async def test_a_closed_session_refuses() -> None:
    async with open_sessions() as sessions:
        async with sessions.open(SPEC) as session:
            pass
        with pytest.raises(ClosedError):
            await session.ask(user("one"))


# Forks ---------------------------------------------------------------------------------------------------


async def test_a_fork_goes_on_from_here_and_is_independent() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        await session.ask(user("one"))
        async with session.fork() as fork, fork.fork() as second:
            assert fork.messages is session.messages
            await fork.ask(user("two"))
            assert len(session.messages) == len(second.messages) == 2
            assert len(fork.messages) == 4
        statistics = sessions.statistics()
        assert (statistics.opened, statistics.closed, statistics.forked) == (3, 2, 2)
        assert (await session.ask(user("three"))).text == "3 messages"


async def test_a_fork_outlives_what_it_came_from() -> None:
    async with open_sessions() as sessions:
        async with sessions.open(SPEC) as session:
            await session.ask(user("one"))
            fork = session.fork()
        assert (await fork.ask(user("two"))).text == "3 messages"
        await fork.close()
        with pytest.raises(ClosedError):
            fork.fork()


async def test_a_fork_during_a_turn_has_the_state_before_it() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        await session.ask(user("one"))
        async with session.stream(user("two")) as pieces:
            assert await anext(pieces) == "3"
            async with session.fork() as fork:
                assert len(fork.messages) == 2
                assert (await fork.ask(user("other"))).text == "3 messages"
            assert [piece async for piece in pieces] == [" messages"]
        assert [message.content for message in session.messages][2:] == ["two", "3 messages"]


# Streams -------------------------------------------------------------------------------------------------


async def test_a_stream_gives_the_pieces_and_then_the_turn() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        stream = session.stream(user("one"))
        with pytest.raises(UsageError, match="not ended"):
            _ = stream.turn
        assert [piece async for piece in stream] == ["1", " messages"]
        assert (stream.turn.text, stream.turn.tokens.generated) == ("1 messages", 2)
        assert stream.turn.first_token_s is not None
        await stream.aclose()
        assert await anext(stream, None) is None


async def test_leaving_a_stream_stops_it_and_the_conversation_goes_on_as_before() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        async with session.stream(user("one")) as pieces:
            assert await anext(pieces) == "1"
            assert sessions.pool.statistics().leases == 1
        assert sessions.pool.statistics().leases == 0
        with pytest.raises(ClosedError):
            await anext(pieces)
        assert session.messages == ()
        assert (await session.ask(user("again"))).text == "1 messages"


async def test_a_stream_that_is_dropped_in_a_loop_stops_and_the_next_turn_goes_on() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        async for _ in session.stream(user("one")):
            break
        assert (await session.ask(user("again"))).text == "1 messages"
        async for _ in session.stream(user("two")):
            break


async def test_asking_while_ones_own_stream_is_open_is_refused_not_waited_for() -> None:
    async with open_sessions() as sessions, sessions.open(SPEC) as session:
        stream = session.stream(user("one"))
        async for _ in stream:
            break
        with pytest.raises(UsageError, match="still open"):
            await session.ask(user("two"))
        await stream.aclose()
        assert (await session.ask(user("two"))).text == "1 messages"


async def test_a_consumer_that_is_cancelled_stops_its_answer() -> None:
    async def never() -> None:
        await anyio.sleep_forever()

    async with open_sessions(ScriptedEngine(pause=never)) as sessions, sessions.open(SPEC) as session:

        async def consume() -> None:
            async for _ in session.stream(user("one")):
                raise AssertionError("nothing comes")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            await anyio.wait_all_tasks_blocked()
            assert sessions.pool.statistics().leases == 1
            tasks.cancel_scope.cancel()
        assert sessions.pool.statistics().leases == 0


async def test_closing_a_session_ends_its_answers_wherever_they_are_waited_for() -> None:
    async def never() -> None:
        await anyio.sleep_forever()

    async with open_sessions(ScriptedEngine(pause=never)) as sessions:
        session = sessions.open(SPEC)
        refused = []

        async def ask() -> None:
            try:
                await session.ask(user("one"))
            except ClosedError as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await session.close()
            assert sessions.pool.statistics().leases == 0
        await session.close()
        assert len(refused) == 2


async def test_closing_a_session_inside_its_own_loop_ends_the_loop() -> None:
    async with open_sessions() as sessions:
        session = sessions.open(SPEC)
        with pytest.raises(ClosedError):
            async for _ in session.stream(user("one")):
                await session.close()


# What does not fit -----------------------------------------------------------------------------------------


class GrowingModel(ScriptedModel):
    """Says what it may grow to."""

    most_tokens = 0

    @asynccontextmanager
    async def generate(
        self,
        messages: Sequence[Message],
        options: Options,
        conversation: Conversation | None = None,
        *,
        on_end: OnEnd = lambda: None,
        going_on: GoingOn | None = None,
    ) -> AsyncIterator[AsyncIterator[GenerationEvent]]:
        async with AsyncExitStack() as stack:
            try:
                events = await stack.enter_async_context(
                    super().generate(messages, options, conversation, on_end=on_end, going_on=going_on)
                )
            except ContextError as error:
                raise ContextError(
                    prompt_tokens=error.prompt_tokens,
                    context_tokens=error.context_tokens,
                    most_tokens=max(error.context_tokens, self.most_tokens),
                ) from None
            yield events


class GrowingEngine(ScriptedEngine):
    """Of models that may grow to `most_tokens`."""

    most_tokens = 0

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> GrowingModel:
        model = GrowingModel(self._script, self._pause, cost.context_tokens)
        model.most_tokens = self.most_tokens
        return model


class GrowingPool(Pool):
    """Grows by asking the model, and keeps count of it."""

    def __init__(self, engine: ScriptedEngine, *, refuses: bool) -> None:
        super().__init__(engine, budget_bytes=1)
        self.refuses = refuses
        self.grown: list[int] = []

    async def grow(self, model: Model, context_tokens: int, *, most_tokens: int | None = None) -> None:
        self.grown.append(context_tokens)
        if self.refuses:
            raise BudgetError("no room", needed_bytes=2, budget_bytes=1)
        cost = Cost(
            weights_bytes=0, kv_bytes=0, compute_bytes=0, context_tokens=context_tokens, estimated=False
        )
        await model.resize(cost)


def small(context_tokens: int) -> ModelSpec:
    return ModelSpec(reference="small", path=Path("small"), context_tokens=context_tokens)


FORGETS = Options(overflow="drop_oldest")
"""Each turn of `count_messages` takes 5 of the scripted engine's tokens: `user: x assistant: n messages`."""


async def test_a_conversation_that_outgrows_its_context_is_an_error_with_the_numbers() -> None:
    async with open_sessions() as sessions, sessions.open(small(10)) as session:
        await session.ask(user("one"))
        with pytest.raises(ContextError) as raised:
            await session.ask(user("a b c d e"))
        assert (raised.value.prompt_tokens, raised.value.context_tokens) == (11, 10)
        assert len(session.messages) == 2


async def test_the_oldest_exchanges_are_dropped_where_that_is_wanted() -> None:
    async with open_sessions() as sessions, sessions.open(small(20)) as session:
        await session.ask([Message(role="system", content="be kind"), *user("one")], FORGETS)
        for number in ("two", "three"):
            assert (await session.ask(user(number), FORGETS)).dropped_messages == 0
        turn = await session.ask(user("four"), FORGETS)
        assert turn.dropped_messages == 2
        said = [message.content for message in session.messages]
        assert said == ["be kind", "two", "4 messages", "three", "6 messages", "four", "6 messages"]


async def test_the_system_message_and_the_newest_question_are_never_dropped() -> None:
    async with open_sessions() as sessions, sessions.open(small(10)) as session:
        await session.ask([Message(role="system", content="be kind"), *user("one")])
        turn = await session.ask(user("a b c d"), FORGETS)
        assert (turn.dropped_messages, turn.text) == (2, "2 messages")
        before = session.messages
        with pytest.raises(ContextError):
            await session.ask(user("a b c d e f g h"), FORGETS)
        assert session.messages == before


@asynccontextmanager
async def open_growing(
    most_tokens: int, *, refuses: bool = False
) -> AsyncIterator[tuple[Sessions, GrowingPool]]:
    engine = GrowingEngine(count_messages)
    engine.most_tokens = most_tokens
    with anyio.fail_after(60):
        async with GrowingPool(engine, refuses=refuses) as pool:
            yield Sessions(pool), pool
            assert pool.statistics().leases == 0


async def test_an_arena_grows_before_anything_is_dropped() -> None:
    async with open_growing(40) as (sessions, pool), sessions.open(small(10)) as session:
        await session.ask(user("one"))
        turn = await session.ask(user("a b c d e f"), Options(overflow="drop_oldest", max_tokens=5))
        assert (turn.text, turn.dropped_messages, pool.grown) == ("3 messages", 0, [12 + 5])
        await session.ask(user("a b c d e f"), Options(max_tokens=1000))
        assert pool.grown[1:] == [40]


async def test_what_is_too_long_for_any_arena_is_dropped_until_the_largest_holds_it() -> None:
    async with open_growing(15) as (sessions, pool), sessions.open(small(10)) as session:
        await session.ask(user("one"))
        turn = await session.ask(user("a b c d e f g h i"), FORGETS)
        assert (turn.dropped_messages, pool.grown) == (2, [15])


async def test_what_the_budget_refuses_is_dropped_or_else_the_error() -> None:
    async with open_growing(40, refuses=True) as (sessions, pool), sessions.open(small(10)) as session:
        await session.ask(user("one"))
        with pytest.raises(BudgetError):
            await session.ask(user("a b c d e f"))
        assert (await session.ask(user("a b c d e f"), FORGETS)).dropped_messages == 2
        with pytest.raises(ContextError):
            await session.ask(user("a b c d e f g h i j k"), FORGETS)
        assert len(pool.grown) == 3


MESSAGES = st.lists(
    st.builds(
        lambda role, content: Message(role=role, content=content),
        st.sampled_from(["user", "assistant"]),
        st.text(max_size=50),
    ),
    min_size=1,
    max_size=12,
)


@given(MESSAGES, st.booleans(), st.integers(min_value=-5, max_value=2000))
def test_dropping_takes_whole_exchanges_from_the_front_only(
    said: list[Message], with_system: bool, excess_tokens: int
) -> None:
    system = (Message(role="system", content="s"),) if with_system else ()
    shorter = without_oldest((*system, *said), excess_tokens)
    roles = [message.role for message in said]
    newest = len(roles) - 1 - roles[::-1].index("user") if "user" in roles else len(roles) - 1
    if shorter is None:
        assert newest == 0
    else:
        kept = list(shorter[len(system) :])
        assert shorter[: len(system)] == system
        assert kept == said[len(said) - len(kept) :]
        assert len(said) - newest <= len(kept) < len(said)
        assert kept[0].role == "user" or "user" not in roles
