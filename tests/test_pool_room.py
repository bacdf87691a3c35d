"""The pool's room: arenas that grow and shrink, fairness over models, back-off, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.engines.base import ModelSpec, OnLoadProgress
from samovar.engines.scripted import ScriptedModel
from samovar.errors import BudgetError, ClosedError, EngineError
from samovar.models.cost import Cost
from samovar.serving.entries import BACK_OFF_MOST_S
from samovar.serving.lines import OVERTAKEN_MOST
from samovar.serving.pool import Pool
from samovar.serving.room import OVERTAKEN_MOST_S, SHRINK_AFTER_S
from tests.test_pool import Clock, SlowEngine, open_pool, spec

pytestmark = pytest.mark.anyio

TRAINED_TOKENS = 6000


class GrowingEngine(SlowEngine):
    """Weights as in `sizes`, and one byte of KV for each token (a half with q8_0)."""

    def __init__(self, sizes: dict[str, int] | None = None) -> None:
        super().__init__(sizes)
        self.resize_gate: anyio.Event | None = None
        self.no_room = False

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        tokens = spec.context_tokens or 1000
        if tokens > TRAINED_TOKENS:
            raise EngineError(f"{tokens} are more than was trained for.")
        kv_bytes = tokens if spec.kv_type == "f16" else tokens // 2
        return replace(super().predict(spec), kv_bytes=kv_bytes, context_tokens=tokens)

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> ScriptedModel:
        return _Resized(await super().load(spec, cost, on_progress), self, spec.reference)


class _Resized(ScriptedModel):
    def __init__(self, model: ScriptedModel, engine: GrowingEngine, name: str) -> None:
        self.__dict__.update(model.__dict__)
        self._engine, self._name, self._inner = engine, name, model

    async def resize(self, cost: Cost) -> None:
        self._engine.happened.append(f"resize {self._name} {cost.context_tokens}")
        if self._engine.resize_gate is not None:
            await self._engine.resize_gate.wait()
        await checkpoint()
        if self._engine.no_room:
            raise EngineError("no room")
        await super().resize(cost)

    async def close(self) -> None:
        await self._inner.close()
        await super().close()


async def use(pool: Pool, name: str, done: Callable[[], object] = lambda: None) -> None:
    async with pool.lease(spec(name)):
        pool.check()
        done()
        await checkpoint()


# Growing ---------------------------------------------------------------------------------------------


async def test_an_arena_grows_to_the_next_power_of_two_and_never_shrinks_for_a_smaller_wish() -> None:
    engine = GrowingEngine()
    async with open_pool(engine, 10_000) as pool, pool.lease(spec()) as model:
        await pool.grow(model, 1100)
        await pool.grow(model, 2048)
        await pool.grow(model, 5)
        assert engine.happened == ["load a", "resize a 2048"]
        assert model.statistics().context_tokens == 2048
        assert pool.held_bytes == 2058
        use = pool.statistics().models[0]
        assert use.cost is not None and use.cost.context_tokens == 2048


@pytest.mark.parametrize(("most_tokens", "got"), [(TRAINED_TOKENS, TRAINED_TOKENS), (None, 5000)])
async def test_an_arena_grows_no_further_than_the_model_was_trained_for(
    most_tokens: int | None, got: int
) -> None:
    async with open_pool(GrowingEngine(), 10_000) as pool, pool.lease(spec()) as model:
        await pool.grow(model, 5000, most_tokens=most_tokens)
        assert model.statistics().context_tokens == got
        with pytest.raises(EngineError, match="trained"):
            await pool.grow(model, TRAINED_TOKENS + 1)


async def test_where_the_power_of_two_does_not_fit_the_arena_gets_what_was_asked() -> None:
    async with open_pool(GrowingEngine(), 1600) as pool, pool.lease(spec()) as model:
        await pool.grow(model, 1100)
        assert model.statistics().context_tokens == 1100


async def test_two_who_grow_at_once_are_one_resize() -> None:
    engine = GrowingEngine()
    async with open_pool(engine, 10_000) as pool, pool.lease(spec()) as model:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.grow, model, 1500)
            tasks.start_soon(pool.grow, model, 2000)
        assert engine.happened == ["load a", "resize a 2048"]


@pytest.mark.parametrize(("budget_bytes", "held_bytes"), [(2058, 2058), (2500, 2500), (100_000, 67_058)])
async def test_what_is_carried_to_a_larger_arena_is_promised_as_far_as_there_is_room(
    budget_bytes: int, held_bytes: int
) -> None:
    engine = GrowingEngine()
    engine.resize_gate = anyio.Event()
    async with open_pool(engine, budget_bytes) as pool, pool.lease(spec()) as model:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.grow, model, 2048)
            await anyio.wait_all_tasks_blocked()
            assert pool.held_bytes == held_bytes, "with 1000 cells' copies of 65 bytes, if they fit"
            pool.check()
            engine.resize_gate.set()
        assert pool.held_bytes == 2058


async def test_an_arena_that_never_fits_is_refused_with_the_numbers_and_stays() -> None:
    async with open_pool(GrowingEngine({"a": 100_000}), 104_000) as pool, pool.lease(spec()) as model:
        with pytest.raises(BudgetError, match=r"needs 105\.0 kB|needs 105 kB") as caught:
            await pool.grow(model, 5000)
        message = str(caught.value)
        assert "a context of 2048 tokens (--context)" in message
        assert "a KV cache of type q8_0" in message
        assert "a budget of 110 kB (--budget)" in message
        assert (model.statistics().context_tokens, pool.held_bytes) == (1000, 101_000)


async def test_growing_evicts_idle_models_and_waits_for_borrowed_ones() -> None:
    engine = GrowingEngine()
    async with open_pool(engine, 4000) as pool:
        await use(pool, "b")
        async with pool.lease(spec("a")) as model:
            async with anyio.create_task_group() as tasks, pool.lease(spec("c")):
                tasks.start_soon(pool.grow, model, 3500)
                await anyio.wait_all_tasks_blocked()
                assert engine.happened[3:] == []
            assert engine.happened[3:] == ["close b", "close c", "resize a 3500"]


async def test_nobody_borrows_what_must_go_for_an_arena_that_grows() -> None:
    engine = GrowingEngine()
    order: list[str] = []
    async with open_pool(engine, 4000) as pool, anyio.create_task_group() as tasks:

        async def grow() -> None:
            async with pool.lease(spec("a")) as model:
                await pool.grow(model, 3500)
                order.append("a")

        async with pool.lease(spec("b")):
            tasks.start_soon(grow)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(use, pool, "b", lambda: order.append("b"))
            await anyio.wait_all_tasks_blocked()
            assert order == []
    assert order == ["a", "b"]


async def test_of_two_models_that_grow_into_each_other_the_later_is_refused() -> None:
    async with open_pool(GrowingEngine(), 4000) as pool:
        refused: list[BudgetError] = []

        async def grow(name: str, both: anyio.Event, mine: anyio.Event) -> None:
            async with pool.lease(spec(name)) as model:
                mine.set()
                await both.wait()
                try:
                    await pool.grow(model, 3500)
                except BudgetError as error:
                    refused.append(error)

        one, other = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(grow, "a", one, other)
            tasks.start_soon(grow, "b", other, one)
        (error,) = refused
        assert "reserved by growing models" in str(error)


async def test_an_engine_without_room_leaves_the_arena_and_tells_who_asked() -> None:
    engine = GrowingEngine()
    async with open_pool(engine, 10_000) as pool, pool.lease(spec()) as model:
        engine.no_room = True
        with pytest.raises(EngineError, match="no room"):
            await pool.grow(model, 2000)
        assert pool.held_bytes == 1010
        engine.no_room = False
        await pool.grow(model, 2000)
        assert pool.held_bytes == 2058


async def test_someone_cancelled_while_it_grows_leaves_books_that_balance() -> None:
    engine = GrowingEngine()
    engine.resize_gate = anyio.Event()
    async with open_pool(engine, 10_000) as pool:
        async with anyio.create_task_group() as tasks:

            async def grow() -> None:
                async with pool.lease(spec()) as model:
                    await pool.grow(model, 2000)

            tasks.start_soon(grow)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert pool.statistics().leases == 0
        pool.check()
        engine.resize_gate.set()
        await anyio.wait_all_tasks_blocked()
        assert pool.held_bytes == 2058


async def test_a_pool_that_closes_while_an_arena_grows_hangs_nothing() -> None:
    engine = GrowingEngine()
    engine.resize_gate = anyio.Event()
    told: list[type[Exception]] = []
    with anyio.fail_after(60):
        async with (
            anyio.create_task_group() as tasks,
            Pool(engine, budget_bytes=10_000) as pool,
            pool.lease(spec()) as model,
        ):

            async def grow() -> None:
                with pytest.raises(ClosedError) as caught:
                    await pool.grow(model, 2000)
                told.append(caught.type)

            tasks.start_soon(grow)
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(ClosedError):
            await pool.grow(model, 2000)
    assert told == [ClosedError]
    assert engine.happened == ["load a", "resize a 2048", "close a"]


# Shrinking -------------------------------------------------------------------------------------------


async def test_a_grown_arena_goes_back_after_a_while_without_a_lease() -> None:
    engine, clock = GrowingEngine(), Clock()
    async with open_pool(engine, 10_000, clock=clock) as pool:
        async with pool.lease(spec()) as model:
            await pool.grow(model, 2000)
            clock.now_s += 2 * SHRINK_AFTER_S
        assert pool._room.next_s() == SHRINK_AFTER_S
        clock.now_s += SHRINK_AFTER_S - 1
        await use(pool, "b")
        assert pool.held_bytes == 2058 + 1010
        clock.now_s += 1
        await use(pool, "b")
        await anyio.wait_all_tasks_blocked()
        assert pool.held_bytes == 1010 + 1010
        assert engine.happened[-1] == "resize a 1000"


async def test_a_grown_idle_arena_shrinks_before_anything_is_evicted() -> None:
    engine = GrowingEngine()
    async with open_pool(engine, 4000) as pool:
        await use(pool, "b")
        async with pool.lease(spec("a")) as model:
            await pool.grow(model, 2000)
        await use(pool, "c")
        assert engine.happened[-2:] == ["resize a 1000", "load c"]
        assert not [event for event in engine.happened if event.startswith("close")]


async def test_an_arena_that_cannot_shrink_is_evicted_where_the_room_is_needed() -> None:
    engine = GrowingEngine()
    async with open_pool(engine, 3000) as pool:
        async with pool.lease(spec("a")) as model:
            await pool.grow(model, 2000)
        engine.no_room = True
        await use(pool, "c")
        assert engine.happened[-3:] == ["resize a 1000", "close a", "load c"]


async def test_a_shrink_that_fails_is_no_failure_of_one_who_grows_meanwhile() -> None:
    engine, clock = GrowingEngine(), Clock()
    async with open_pool(engine, 10_000, clock=clock) as pool:
        async with pool.lease(spec()) as model:
            await pool.grow(model, 2000)
        clock.now_s += SHRINK_AFTER_S
        engine.resize_gate = anyio.Event()
        await use(pool, "b")
        async with pool.lease(spec()) as model, anyio.create_task_group() as tasks:
            tasks.start_soon(pool.grow, model, 1500)
            await anyio.wait_all_tasks_blocked()
            engine.no_room = True
            engine.resize_gate.set()
        assert engine.happened == ["load a", "resize a 2048", "load b", "resize a 1000"]
        assert pool.held_bytes == 2058 + 1010


# Fairness --------------------------------------------------------------------------------------------


async def test_twelve_alternating_requests_for_two_models_are_two_loads() -> None:
    engine = SlowEngine({"a": 60, "b": 60})
    async with open_pool(engine) as pool:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(use, pool, "a")
                tasks.start_soon(use, pool, "b")
        assert engine.happened == ["load a", "close a", "load b"]


async def test_nobody_is_overtaken_by_more_than_the_bound() -> None:
    engine = SlowEngine({"a": 60, "b": 60})
    served: list[tuple[str, int]] = []
    async with open_pool(engine) as pool:
        async with anyio.create_task_group() as tasks:
            for number in range(60):
                name = "ab"[number % 2]

                def done(name: str = name, number: int = number) -> None:
                    served.append((name, number))

                tasks.start_soon(use, pool, name, done)
        for at, (_, number) in enumerate(served):
            assert sum(later > number for _, later in served[:at]) <= OVERTAKEN_MOST
        assert len(engine.happened) <= 2 * 60 // OVERTAKEN_MOST


async def test_a_request_that_waits_for_lent_models_is_due_after_a_while() -> None:
    engine, clock = SlowEngine({"a": 60, "b": 60}), Clock()
    order: list[str] = []
    async with (
        open_pool(engine, clock=clock) as pool,
        anyio.create_task_group() as tasks,
        pool.lease(spec("a")),
    ):
        tasks.start_soon(use, pool, "b", lambda: order.append("b"))
        await anyio.wait_all_tasks_blocked()
        clock.now_s += OVERTAKEN_MOST_S - 0.1
        await use(pool, "a", lambda: order.append("early a"))
        clock.now_s += 0.1
        tasks.start_soon(use, pool, "a", lambda: order.append("late a"))
        await anyio.wait_all_tasks_blocked()
        pool.check()
    assert order == ["early a", "b", "late a"]


async def test_the_time_of_a_slow_load_makes_nobody_due() -> None:
    engine, clock = SlowEngine({"a": 60, "b": 60}), Clock()
    engine.gate = anyio.Event()
    async with open_pool(engine, clock=clock) as pool, anyio.create_task_group() as tasks:
        for name in "abab":
            tasks.start_soon(use, pool, name)
        await anyio.wait_all_tasks_blocked()
        clock.now_s += 100
        engine.gate.set()
    assert engine.happened[:3] == ["load a", "close a", "load b"]


async def test_small_loads_do_not_starve_a_large_one_that_is_due() -> None:
    engine, clock = SlowEngine({"a": 60, "big": 100, "c": 20}), Clock()
    order: list[str] = []
    async with (
        open_pool(engine, clock=clock) as pool,
        anyio.create_task_group() as tasks,
        pool.lease(spec("a")),
    ):
        tasks.start_soon(use, pool, "big", lambda: order.append("big"))
        await anyio.wait_all_tasks_blocked()
        clock.now_s += OVERTAKEN_MOST_S
        tasks.start_soon(use, pool, "c", lambda: order.append("c"))
        await anyio.wait_all_tasks_blocked()
    assert order == ["big", "c"]
    assert engine.happened[:5] == ["load a", "close a", "load big", "close big", "load c"]


async def test_one_who_is_due_holds_back_only_models_that_must_go() -> None:
    engine, clock = SlowEngine({"a": 30, "b": 60, "c": 60}), Clock()
    order: list[str] = []
    async with (
        open_pool(engine, clock=clock) as pool,
        anyio.create_task_group() as tasks,
        pool.lease(spec("b")),
        pool.lease(spec("a")),
    ):
        tasks.start_soon(use, pool, "c", lambda: order.append("c"))
        await anyio.wait_all_tasks_blocked()
        clock.now_s += OVERTAKEN_MOST_S
        tasks.start_soon(use, pool, "b", lambda: order.append("b"))
        tasks.start_soon(use, pool, "a", lambda: order.append("a"))
        await anyio.wait_all_tasks_blocked()
        assert order == ["a"]
    assert order == ["a", "c", "b"]


# Back-off --------------------------------------------------------------------------------------------


async def test_a_failed_load_is_not_tried_again_at_once_and_the_pause_doubles() -> None:
    engine, clock = SlowEngine(), Clock()
    async with open_pool(engine, clock=clock) as pool:
        pause_s = 1.0
        for loads in range(1, 9):
            engine.failures = [EngineError(f"no {loads}")]
            for _ in range(3):
                with pytest.raises(EngineError, match=f"no {loads}"):
                    await use(pool, "a")
            assert len(engine.happened) == loads
            clock.now_s += pause_s - 0.1
            with pytest.raises(EngineError, match=f"no {loads}"):
                await use(pool, "a")
            assert len(engine.happened) == loads
            clock.now_s += 0.1
            pause_s = min(2 * pause_s, BACK_OFF_MOST_S)
        await use(pool, "a")
        await use(pool, "b")


async def test_a_load_that_succeeds_forgets_the_failures_before_it() -> None:
    engine, clock = SlowEngine(), Clock()
    async with open_pool(engine, keep_alive_s=0, clock=clock) as pool:
        for _ in range(3):
            engine.failures = [EngineError("no")]
            with pytest.raises(EngineError):
                await use(pool, "a")
            clock.now_s += 1
            await use(pool, "a")
            await anyio.wait_all_tasks_blocked()


async def test_a_stopped_load_is_no_failure() -> None:
    engine, clock = SlowEngine(), Clock()
    engine.gate = anyio.Event()
    async with open_pool(engine, clock=clock) as pool:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use, pool, "a")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        engine.gate = None
        await use(pool, "a")


# Everything at once ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Use:
    """What one task does with the pool."""

    name: str
    grow_tokens: int
    steps: int
    """Turns of the event loop for which it keeps the lease."""
    patience: int | None
    """Turns of the event loop after which it is cancelled, wherever it is; None lets it come to its end."""
    later_s: float
    """The clock goes on by so much when it begins."""
    load_fails: bool
    """The next load fails, whoever asks for it."""
    resize_fails: bool


USES = st.builds(
    Use,
    name=st.sampled_from("abc"),
    grow_tokens=st.sampled_from([0, 500, 1500, 1500, 3000, 7000]),
    steps=st.integers(0, 4),
    patience=st.none() | st.integers(0, 12),
    later_s=st.sampled_from([0.0, 0.0, 2.0, OVERTAKEN_MOST_S, SHRINK_AFTER_S]),
    load_fails=st.sampled_from([False, False, False, True]),
    resize_fails=st.sampled_from([False, False, False, True]),
)


@settings(max_examples=60)
@given(st.lists(USES, min_size=1, max_size=14), st.sampled_from([0.0, 20.0, None]))
def test_the_books_balance_whatever_grows_fails_and_is_cancelled(
    uses: list[Use], keep_alive_s: float | None
) -> None:
    async def main() -> None:
        engine, clock = GrowingEngine({"a": 10, "b": 500, "c": 2000}), Clock()
        async with open_pool(engine, 4000, keep_alive_s, clock) as pool:

            async def borrow(use: Use) -> None:
                with suppress(EngineError, BudgetError):
                    await borrow_and_grow(use)

            async def borrow_and_grow(use: Use) -> None:
                async with pool.lease(spec(use.name)) as model:
                    pool.check()
                    await checkpoint()
                    if use.grow_tokens:
                        engine.no_room = use.resize_fails
                        await pool.grow(model, use.grow_tokens)
                        assert model.statistics().context_tokens >= use.grow_tokens
                    for _ in range(use.steps):
                        await checkpoint()
                        pool.check()
                        assert isinstance(model, ScriptedModel)
                        assert not model._closed, "a borrowed model was closed"

            async def run(use: Use) -> None:
                clock.now_s += use.later_s
                if use.load_fails:
                    engine.failures = [EngineError("no")]
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(borrow, use)
                    for _ in range(use.patience or 0):
                        await checkpoint()
                    if use.patience is not None:
                        tasks.cancel_scope.cancel()

            async with anyio.create_task_group() as tasks:
                for one in uses:
                    tasks.start_soon(run, one)
            engine.no_room, engine.failures = False, []
            pool.check()
            statistics = pool.statistics()
            assert (statistics.leases, statistics.waiting) == (0, 0)
            clock.now_s += BACK_OFF_MOST_S
            await use(pool, "a")  # nothing that happened keeps it from being used
        loads = [event for event in engine.happened if event.startswith("load")]
        assert len(loads) >= len([event for event in engine.happened if event.startswith("close")])
        assert pool.held_bytes == 0

    anyio.run(main)


class SavingEngine(SlowEngine):
    """It holds copies for the disk, which go after a while."""

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__(sizes)
        self.saved = [50, 50, 0]
        self.spare: list[int] = []

    def beside_bytes(self) -> int:
        return self.saved.pop(0) if len(self.saved) > 1 else self.saved[0]

    def leave(self, spare_bytes: int) -> None:
        self.spare.append(spare_bytes)


async def test_copies_on_their_way_to_disk_are_in_the_budget() -> None:
    engine = SavingEngine({"a": 60})
    with anyio.fail_after(60):
        async with Pool(engine, budget_bytes=100) as pool, pool.lease(spec("a")):
            assert engine.saved == [0]  # it was asked again until they were gone
            assert engine.spare[0] == 100 and engine.spare[-1] == 40
