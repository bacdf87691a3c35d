"""The pool: one load, leases, budget, keep-alive, ordered close, and books that balance throughout."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.engines.base import Engine, ModelSpec, OnLoadProgress
from samovar.engines.scripted import ScriptedEngine, ScriptedModel
from samovar.errors import BudgetError, ClosedError, EngineError
from samovar.models.cost import Cost
from samovar.serving.pool import Pool

pytestmark = pytest.mark.anyio


class SlowEngine(ScriptedEngine):
    """The scripted engine with sizes, loads that wait until they are let go, and a list of what happened."""

    def __init__(self, sizes: dict[str, int] | None = None) -> None:
        super().__init__()
        self.sizes = sizes or {}
        self.happened: list[str] = []
        self.gate: anyio.Event | None = None
        self.failures: list[Exception] = []

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        size = self.sizes.get(spec.reference, 10)
        return Cost(weights_bytes=size, kv_bytes=0, compute_bytes=0, context_tokens=100, estimated=False)

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> ScriptedModel:
        self.happened.append(f"load {spec.reference}")
        on_progress(0.5)
        if self.gate is not None:
            await self.gate.wait()
        await checkpoint()
        if self.failures:
            raise self.failures.pop()
        model = await super().load(spec, cost, on_progress)
        return _Noted(model, lambda: self.happened.append(f"close {spec.reference}"))


class _Noted(ScriptedModel):
    def __init__(self, model: ScriptedModel, on_close: Callable[[], None]) -> None:
        self.__dict__.update(model.__dict__)
        self._on_close = on_close

    async def close(self) -> None:
        await checkpoint()
        self._on_close()
        await super().close()


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def spec(name: str = "a") -> ModelSpec:
    return ModelSpec(reference=name, path=Path(name))


@asynccontextmanager
async def open_pool(
    engine: Engine,
    budget_bytes: int = 100,
    keep_alive_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Pool]:
    with anyio.fail_after(60):
        async with Pool(engine, budget_bytes=budget_bytes, keep_alive_s=keep_alive_s, clock=clock) as pool:
            try:
                yield pool
            finally:
                pool.check()


async def test_fifty_racing_first_uses_are_one_load() -> None:
    engine = SlowEngine()
    async with open_pool(engine) as pool:
        models = set()

        async def use() -> None:
            async with pool.lease(spec()) as model:
                models.add(id(model))
                pool.check()

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(use)
        assert engine.happened == ["load a"]
        assert len(models) == 1
        assert pool.statistics().models[0].loads == 1
    assert engine.happened == ["load a", "close a"]


async def test_a_second_model_is_a_second_entry() -> None:
    engine = SlowEngine()
    async with open_pool(engine) as pool:
        async with pool.lease(spec("a")) as one, pool.lease(spec("b")) as other:
            assert one is not other
        assert [use.reference for use in pool.statistics().models] == ["a", "b"]


async def test_a_failed_load_fails_all_who_waited_and_a_later_one_may_succeed() -> None:
    engine = SlowEngine()
    engine.gate = anyio.Event()
    engine.failures = [EngineError("no")]
    clock = Clock()
    async with open_pool(engine, clock=clock) as pool:
        failed: list[str] = []

        async def use() -> None:
            try:
                async with pool.lease(spec()):
                    raise AssertionError("it was lent")
            except EngineError as error:
                failed.append(str(error))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(use)
            await anyio.wait_all_tasks_blocked()
            engine.gate.set()
        assert failed == ["no"] * 3
        assert pool.held_bytes == 0
        clock.now_s += 1
        async with pool.lease(spec()):
            pool.check()


async def test_a_model_too_large_for_the_budget_is_refused_with_the_numbers() -> None:
    async with open_pool(SlowEngine({"big": 2_000_000}), budget_bytes=1_000_000) as pool:
        with pytest.raises(BudgetError, match=r"big needs 2\.0 MB .* budget is 1\.0 MB") as caught:
            async with pool.lease(spec("big")):
                pass
        assert (caught.value.needed_bytes, caught.value.budget_bytes) == (2_000_000, 1_000_000)


async def test_an_idle_model_makes_room_for_another_and_a_leased_one_does_not() -> None:
    engine = SlowEngine({"a": 60, "b": 60})
    async with open_pool(engine) as pool:
        got = anyio.Event()

        async def use_b() -> None:
            async with pool.lease(spec("b")):
                got.set()

        async with anyio.create_task_group() as tasks:
            async with pool.lease(spec("a")):
                tasks.start_soon(use_b)
                await anyio.wait_all_tasks_blocked()
                assert not got.is_set()
            await got.wait()
        assert engine.happened == ["load a", "close a", "load b"]


async def test_least_recently_used_models_go_first_and_those_of_a_run_last() -> None:
    engine = SlowEngine({"a": 40, "b": 40, "c": 40, "d": 40})
    async with open_pool(engine) as pool:
        with pool.interest(spec("a")):
            for name in ("a", "b"):
                async with pool.lease(spec(name)):
                    pass
            async with pool.lease(spec("c")):
                pass
            assert "close b" in engine.happened and "close a" not in engine.happened


async def test_with_no_keep_alive_an_idle_model_goes_at_once_unless_a_run_has_an_interest() -> None:
    engine = SlowEngine()
    async with open_pool(engine, keep_alive_s=0) as pool:
        with pool.interest(spec()):
            async with pool.lease(spec()):
                pass
            await anyio.wait_all_tasks_blocked()
            assert engine.happened == ["load a"]
        await anyio.wait_all_tasks_blocked()
        assert engine.happened == ["load a", "close a"]


async def test_keep_alive_ends_by_itself() -> None:
    engine = SlowEngine()
    async with open_pool(engine, keep_alive_s=0.02) as pool:
        async with pool.lease(spec()):
            pass
        while pool.held_bytes:
            await checkpoint()
        assert engine.happened == ["load a", "close a"]


async def test_a_load_that_nobody_waits_for_any_more_is_stopped() -> None:
    engine = SlowEngine()
    engine.gate = anyio.Event()
    async with open_pool(engine) as pool:
        async with anyio.create_task_group() as tasks:

            async def use() -> None:
                async with pool.lease(spec()):
                    raise AssertionError("it was lent")

            tasks.start_soon(use)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        while pool.held_bytes:
            await checkpoint()
        engine.gate = None
        async with pool.lease(spec()):
            pass
        assert engine.happened == ["load a", "load a"]


async def test_an_exception_in_a_progress_callback_comes_out_of_that_lease_only() -> None:
    engine = SlowEngine()
    engine.gate = anyio.Event()

    def hear(fraction: float) -> None:
        raise ZeroDivisionError

    async with open_pool(engine) as pool:

        async def deaf() -> None:
            with pytest.raises(ZeroDivisionError):
                async with pool.lease(spec(), hear):
                    raise AssertionError("it was lent")

        async def hearing() -> None:
            async with pool.lease(spec()):
                pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deaf)
            tasks.start_soon(hearing)
            await anyio.wait_all_tasks_blocked()
            engine.gate.set()
        assert engine.happened == ["load a"]


async def test_after_close_nothing_is_lent() -> None:
    async with open_pool(SlowEngine()) as pool:
        pass
    with pytest.raises(ClosedError):
        async with pool.lease(spec()):
            pass


async def test_cancelling_everything_at_once_closes_in_order_and_hangs_nothing() -> None:
    engine = SlowEngine()
    with anyio.fail_after(60):
        with anyio.CancelScope() as scope:
            async with Pool(engine, budget_bytes=100) as pool, pool.lease(spec()):
                engine.gate = anyio.Event()
                async with anyio.create_task_group() as tasks:

                    async def use() -> None:
                        async with pool.lease(spec("b")):
                            raise AssertionError("it was lent")

                    tasks.start_soon(use)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
                    await anyio.sleep_forever()
        assert scope.cancelled_caught
    assert engine.happened == ["load a", "load b", "close a"]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), min_size=1, max_size=12),
    st.sampled_from([0.0, None]),
)
def test_the_books_balance_whatever_is_borrowed_and_cancelled(
    uses: list[tuple[str, int, bool]], keep_alive_s: float | None
) -> None:
    async def main() -> None:
        engine = SlowEngine({"a": 40, "b": 60, "c": 100})
        async with open_pool(engine, keep_alive_s=keep_alive_s) as pool:
            async with anyio.create_task_group() as tasks:

                async def use(name: str, steps: int, cancelled: bool) -> None:
                    with anyio.CancelScope() as scope:
                        async with pool.lease(spec(name)):
                            pool.check()
                            if cancelled:
                                scope.cancel()
                            for _ in range(steps):
                                await checkpoint()
                                pool.check()

                for one in uses:
                    tasks.start_soon(use, *one)
            assert pool.statistics().leases == 0
        loads = [event for event in engine.happened if event.startswith("load")]
        assert len(loads) * 2 == len(engine.happened)

    anyio.run(main)
