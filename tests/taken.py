"""What a process takes when it loads a model, measured in a child: its own bytes, and mapped ones.

`python -m tests.taken FIRST PATH CONTEXT repack|mapped` loads FIRST, for what a process takes once, and then
PATH. It measures again for each line on its standard input, until that ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio

from samovar.engines.base import Model, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.generation import Message, Options
from samovar.models.cost import Cost

ROLLUP = Path("/proc/self/smaps_rollup")


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes that have come since the first model."""

    private_bytes: int
    mapped_bytes: int
    proportional_bytes: int
    """The private ones, and of the mapping of the model's file what is this process's share: each page counts
    as one part in as many as map it."""


def rollup() -> dict[str, int]:
    """Lines of `/proc/self/smaps_rollup`, in bytes (proc_pid_smaps(5))."""
    lines = ROLLUP.read_text(encoding="ascii").splitlines()[1:]
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


async def _used(engine: LlamaEngine, path: Path, context_tokens: int, repack: bool) -> tuple[Model, Cost]:
    spec = ModelSpec(reference=path.name, path=path, context_tokens=context_tokens, repack=repack)
    cost = engine.predict(spec)
    model = await engine.load(spec, cost, lambda fraction: None)
    messages = [Message(role="user", content="hello there " * 60)]
    async with model.generate(messages, Options(max_tokens=4)) as events:
        async for _ in events:
            pass
    return model, cost


async def _measure(first: str, path: str, context_tokens: str, repack: str) -> None:
    engine = LlamaEngine()
    one, _ = await _used(engine, Path(first), 1024, True)
    before = rollup()
    model, cost = await _used(engine, Path(path), int(context_tokens), repack == "repack")
    after = rollup()
    _say([*_figures(cost), *_grown(before, after, path)])
    for _ in sys.stdin:
        _say(_grown(before, rollup(), path))
    await model.close()
    await one.close()
    engine.close()


def _say(figures: list[int]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def _grown(before: dict[str, int], after: dict[str, int], path: str) -> list[int]:
    """The figures of `Taken`."""
    private_bytes, resident_bytes = (after[name] - before[name] for name in ("Anonymous", "Rss"))
    return [private_bytes, resident_bytes - private_bytes, private_bytes + _share(path)]


def _share(path: str) -> int:
    """`Pss` of the mappings of a file, in bytes."""
    share, is_its = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(":")
        if " " in name:  # the line with the addresses, which begins what is said of a mapping
            is_its = line.endswith(path)
        elif name == "Pss" and is_its:
            share += int(rest.split()[0]) * 1024
    return share


def _figures(cost: Cost) -> tuple[int, int]:
    mapped_bytes = cost.mapped_weights_bytes
    # The tables of forms are promised, and not made before an answer has a form.
    return cost.total_bytes - cost.snapshot_bytes - cost.forms_bytes - mapped_bytes, mapped_bytes


class Child:
    """A process that has loaded a model, generated with it, and waits."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._to: IO[str] = process.stdin
        self._from: IO[str] = process.stdout
        line = self._from.readline()
        assert line, "it ended: " + process.communicate(timeout=60)[1]
        self.predicted_private_bytes, self.predicted_mapped_bytes, *grown = json.loads(line)
        self.taken = Taken(*grown)

    def now(self) -> Taken:
        """What it takes now."""
        self._to.write("\n")
        self._to.flush()
        return Taken(*json.loads(self._from.readline()))


@contextmanager
def loaded(first: Path, path: Path, context_tokens: int, *, repack: bool = True) -> Iterator[Child]:
    """A child that has loaded both, one after the other, and generated with each."""
    command = [sys.executable, "-m", "tests.taken", str(first), str(path), str(context_tokens)]
    process = subprocess.Popen(
        [*command, "repack" if repack else "mapped"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    try:
        yield Child(process)
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    first, path, context_tokens, repack = sys.argv[1:]
    anyio.run(_measure, first, path, context_tokens, repack)
