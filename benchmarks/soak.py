"""Random conversations on one model of every kind of memory, with everything that can go wrong meanwhile.

    python -m benchmarks.soak [--rounds 20] [--seed 0]

Cancels and timeouts at any moment, prompts too long, deterministic answers among others, arenas that change
their size, models closed under way, copies on disk. The books are compared all the time, and must be empty
at the end; the first thing that is wrong ends it. The models are tiny ones, made by `tests/tiny.py`.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import anyio
from tests.tiny import TENSORS, make_tiny

from samovar.engines.base import Conversation, Finished, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.errors import ClosedError, ContextError
from samovar.generation import Message, Options, Sampling, TextGenerated
from samovar.models.snapshots import Snapshots

PREFIX = "".join(f"{number} bottles on the wall. " for number in range(12))
CONVERSATIONS = 80
SIZES_TOKENS = (512, 1024, 2048, 4096)


class Soak:
    """One model and its users. Mutable: what has happened so far."""

    def __init__(
        self, model: LlamaModel, engine: LlamaEngine, spec: ModelSpec, chance: random.Random
    ) -> None:
        self._model, self._engine, self._spec, self._chance = model, engine, spec, chance
        self.counts: Counter[str] = Counter()

    def _options(self) -> Options:
        chance = self._chance
        return Options(
            max_tokens=chance.randint(1, 60),
            deterministic=chance.random() < 0.1,
            choices=("yes", "no") if chance.random() < 0.1 else (),
            sampling=Sampling(temperature=chance.choice((0.0, 1.0)), seed=chance.randint(0, 9)),
            timeout_s=chance.choice((None, None, 0.02, 5.0)),
        )

    async def converse(self) -> None:
        """A few turns, each of which may be cancelled."""
        chance, conversation = self._chance, Conversation()
        text = PREFIX + chance.choice("abc") if chance.random() < 0.5 else "ab " * chance.randint(1, 170)
        messages = [Message(role="user", content=text)]
        try:
            for _ in range(chance.randint(1, 4)):
                with anyio.move_on_after(chance.choice((0.001, 0.1, 30.0, 30.0))) as scope:
                    said = await self._ask(messages, conversation if chance.random() < 0.7 else None)
                    messages.append(Message(role="assistant", content=said))
                    messages.append(Message(role="user", content="and " + "x" * chance.randint(1, 30)))
                self.counts["cancelled"] += scope.cancelled_caught
                self._model.check()
        except (ClosedError, ContextError) as error:
            self.counts[error.code] += 1
        finally:
            conversation.leave()

    async def _ask(self, messages: list[Message], conversation: Conversation | None) -> str:
        said = ""
        async with self._model.generate(messages, self._options(), conversation) as events:
            async for event in events:
                if isinstance(event, TextGenerated) and event.kind == "text":
                    said += event.piece
                elif isinstance(event, Finished):
                    self.counts[str(event.reason)] += 1
        return said

    async def resize(self) -> None:
        """Other sizes, while answers come and wait."""
        for _ in range(4):
            await anyio.sleep(self._chance.random() / 2)
            tokens = self._chance.choice(SIZES_TOKENS)
            try:
                await self._model.resize(self._engine.predict(replace(self._spec, context_tokens=tokens)))
            except ClosedError:
                return


async def one_round(kind: str, seed: int, folder: Path) -> Counter[str]:
    """All conversations with one model; every third round it is closed under way."""
    chance = random.Random(f"{kind}{seed}")
    snapshots = Snapshots(folder / "kv", 3_000_000)
    engine = LlamaEngine(snapshots)
    spec = ModelSpec(
        reference=kind, path=make_tiny(folder / f"{kind}.gguf", kind, context=8192), context_tokens=1024
    )
    model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
    soak = Soak(model, engine, spec, chance)
    with anyio.fail_after(300):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(soak.resize)
            for _ in range(CONVERSATIONS):
                tasks.start_soon(soak.converse)
            if seed % 3 == 0:
                await anyio.sleep(chance.random())
                await model.close()
    if seed % 3:
        model.check()
        statistics = model.statistics()
        assert statistics.sequences_running == statistics.requests_waiting == 0
    await model.close()
    engine.close()
    snapshots.close()
    return soak.counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            for kind in TENSORS:
                counts = anyio.run(one_round, kind, seed, Path(folder))
                told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
                print(f"round {seed}, {kind}: {told}", flush=True)


if __name__ == "__main__":
    main()
