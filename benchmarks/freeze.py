"""How late the event loop is while thousands of sessions ask for one model that is being loaded.

    python -m benchmarks.freeze [--sessions 4000]

By the scripted engine, and by the real one with a tiny model. Beside the sessions runs one open stream of
another model, whose pieces go on all the time. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
from tests.tiny import make_tiny

from samovar.engines.base import ModelSpec, OnLoadProgress
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.engines.scripted import ScriptedEngine, ScriptedModel
from samovar.generation import Message, Options
from samovar.models.cost import Cost
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions

GOAL_MS = 50.0
TICK_S = 0.002
MOST_S = 500


class Gated(ScriptedEngine):
    """The scripted engine, whose second load waits until all sessions ask."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> ScriptedModel:
        if spec.reference == "wanted":
            await self.gate.wait()
        return await super().load(spec, cost, on_progress)


class GatedLlama(LlamaEngine):
    """The real engine, likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> LlamaModel:
        if spec.reference == "wanted":
            await self.gate.wait()
        model = await super().load(spec, cost, on_progress)
        assert isinstance(model, LlamaModel)
        return model


@dataclass(slots=True)
class Lateness:
    """How late the loop was at most, by what went on then. Mutable: `phase` is set by whoever measures."""

    phase: str = "start"
    most_ms: dict[str, float] = field(default_factory=dict)
    own_ms: dict[str, float] = field(default_factory=dict)
    """Processor time of the loop's thread meanwhile, without Python's collector: what it would be late if
    nothing else ran."""
    collector_ms: dict[str, float] = field(default_factory=dict)
    """Of the longest run of Python's collector, which walks over all objects there are."""
    _collected_s: float = 0.0
    _collecting_since_s: float = 0.0
    pieces: dict[str, int] = field(default_factory=dict)

    def collects(self, phase: str, _: object) -> None:
        """For `gc.callbacks`."""
        now_s = time.thread_time()
        if phase == "start":
            self._collecting_since_s = now_s
            return
        taken_s = now_s - self._collecting_since_s
        self._collected_s += taken_s
        self.collector_ms[self.phase] = max(taken_s * 1000, self.collector_ms.get(self.phase, 0.0))

    async def watch(self) -> None:
        before_s, before_cpu_s = time.perf_counter(), time.thread_time() - self._collected_s
        while True:
            await anyio.sleep(TICK_S)
            now_s, now_cpu_s = time.perf_counter(), time.thread_time() - self._collected_s
            late_ms, own_ms = (now_s - before_s - TICK_S) * 1000, (now_cpu_s - before_cpu_s) * 1000
            self.most_ms[self.phase] = max(late_ms, self.most_ms.get(self.phase, 0.0))
            self.own_ms[self.phase] = max(own_ms, self.own_ms.get(self.phase, 0.0))
            before_s, before_cpu_s = now_s, now_cpu_s

    async def listen(self, sessions: Sessions, spec: ModelSpec) -> None:
        """Reads one answer after the other, as a person's open stream."""
        while True:
            async with sessions.open(spec) as session, session.stream(user("x " * 50), MANY) as stream:
                async for _ in stream:
                    self.pieces[self.phase] = self.pieces.get(self.phase, 0) + 1


MANY, FEW = Options(max_tokens=50), Options(max_tokens=1)


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


async def measure(engine: Gated | GatedLlama, specs: Sequence[ModelSpec], number: int) -> Lateness:
    late = Lateness()
    gc.callbacks.append(late.collects)
    async with Pool(engine, budget_bytes=1 << 34) as pool, anyio.create_task_group() as tasks:
        sessions = Sessions(pool)
        tasks.start_soon(late.watch)
        tasks.start_soon(late.listen, sessions, specs[0])
        await anyio.sleep(0.3)
        left = number
        all_done = anyio.Event()

        async def ask() -> None:
            nonlocal left
            async with sessions.open(specs[1]) as session:
                await session.ask(user("hello"), FEW)
            left -= 1
            if not left:
                all_done.set()

        late.phase = "asking"
        for each in range(number):
            tasks.start_soon(ask)
            if each % 50 == 49:
                await anyio.lowlevel.checkpoint()
        while pool.statistics().waiting < number:  # noqa: ASYNC110 - the pool has no such event
            await anyio.sleep(0.01)
        late.phase = "waiting"
        await anyio.sleep(0.3)
        late.phase = "loaded"
        engine.gate.set()
        await all_done.wait()
        tasks.cancel_scope.cancel()
    gc.callbacks.remove(late.collects)
    return late


async def main(number: int) -> int:
    worst_ms = 0.0
    with tempfile.TemporaryDirectory() as folder:
        paths = [make_tiny(Path(folder) / f"{seed}.gguf", seed=seed) for seed in range(2)]
        for name, engine in (("scripted engine", Gated()), ("real engine, tiny model", GatedLlama())):
            specs = [
                ModelSpec(reference=reference, path=path, context_tokens=2048)
                for reference, path in zip(("other", "wanted"), paths, strict=True)
            ]
            with anyio.fail_after(MOST_S):
                late = await measure(engine, specs, number)
            print(
                f"{name}, {number} sessions; of each phase the longest turn, and the other session's pieces:"
            )
            for phase, most_ms in late.most_ms.items():
                own_ms, collector_ms = late.own_ms[phase], late.collector_ms.get(phase, 0.0)
                print(
                    f"    {phase:8}{most_ms:8.1f} ms late,{own_ms:6.1f} ms of its own work,"
                    f"{collector_ms:6.1f} ms of Python's collector;{late.pieces.get(phase, 0):6} pieces"
                )
            worst_ms = max(worst_ms, *late.own_ms.values())
            if isinstance(engine, LlamaEngine):
                engine.close()
    return 1 if worst_ms > GOAL_MS else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freeze", description=__doc__)
    parser.add_argument("--sessions", type=int, default=4000)
    sys.exit(anyio.run(main, parser.parse_args().sessions))
