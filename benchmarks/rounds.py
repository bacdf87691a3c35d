"""Rounds of contenders, each a process of its own, in turn: a change of the machine's pace meets them all.

    python -m benchmarks.rounds CONTENDER

does one and prints it as JSON. Above: `peers.py`, `goals.py`. Below: `contenders.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from benchmarks import contenders
from benchmarks.results import Spread, spread
from benchmarks.work import Measured
from samovar.engines.llama.cores import usable_cores
from samovar.models.reference import parse_reference
from samovar.models.store import Store

ROUND_S = 900.0
"""After so long a round has failed."""

Rounds = dict[str, list[Measured]]
"""By contender, in the order they were done: rounds with one index ran next to each other."""


def default_model() -> Path:
    """The file of the default model. Raises `ModelNotFoundError` when it was not fetched."""
    return Store(None).find(parse_reference("smollm2"))


@contextlib.contextmanager
def empty_cache() -> Iterator[dict[str, str]]:
    """The environment for a process that finds nothing of earlier ones in Samovar's cache."""
    with tempfile.TemporaryDirectory(prefix="samovar-benchmark-") as folder:
        yield {**os.environ, "SAMOVAR_CACHE_FOLDER": folder}


def one_round(name: str) -> Measured:
    """One round in a process of its own. Raises `RuntimeError` with what it said when it fails."""
    command = [sys.executable, "-m", "benchmarks.rounds", name]
    try:
        with empty_cache() as environment:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=ROUND_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{name} took more than {ROUND_S:.0f} s") from None
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-1500:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def interleaved(
    names: Sequence[str],
    pairs: int,
    *,
    beside: Callable[[], AbstractContextManager[None]] | None = None,
    failed: dict[str, str] | None = None,
) -> Rounds:
    """`pairs` rounds of each, in turn; every other time in the opposite order.

    `beside`: what is to go on during each round. `failed`: takes the contenders that failed, with why, and
    the others go on; None raises their `RuntimeError`. Says on standard error how far it is.
    """
    rounds: Rounds = {name: [] for name in names}
    for number in range(pairs):
        for name in names if number % 2 == 0 else reversed(names):
            if name not in rounds:
                continue
            try:
                with beside() if beside is not None else contextlib.nullcontext():
                    measured = one_round(name)
            except RuntimeError as error:
                if failed is None:
                    raise
                failed[name] = str(error)
                del rounds[name]
                continue
            print(f"  {number + 1}/{pairs} {name}: {measured.wall_s:.2f} s", file=sys.stderr, flush=True)
            rounds[name].append(measured)
    return rounds


@contextlib.contextmanager
def busy_neighbours() -> Iterator[None]:
    """One process for each core that does nothing but compute."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(usable_cores())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


IDEAL_ROUNDS = 3


def best_ideal(rounds: int = IDEAL_ROUNDS) -> str:
    """The direct calls that take least here and now, by their name: the ideal is the best of all settings."""
    names = [setting.name for setting in contenders.IDEALS]
    found = interleaved(names, rounds)
    return min(names, key=lambda name: spread([one.wall_s for one in found[name]]).median)


def ratios(rounds: Rounds, name: str, over: str) -> Spread:
    """The wall time of one contender over another's, by pairs of rounds that ran next to each other."""
    return spread([one.wall_s / other.wall_s for one, other in zip(rounds[name], rounds[over], strict=True)])


def machine() -> dict[str, str]:
    """Where and when, in words, for the page: nothing that names this machine."""
    versions = [f"Python {platform.python_version()}"]
    versions += [one.version() for one in contenders.present() if not one.name.startswith("ideal")]
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": f"{platform.system()} on {platform.machine()}, {usable_cores()} cores, no GPU used",
        "versions": ", ".join(dict.fromkeys(versions)),
        "engine": f"xllamacpp {importlib.metadata.version('xllamacpp')}",
        "model": default_model().name,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contender", help=", ".join(one.name for one in contenders.ALL))
    arguments = parser.parse_args()
    measured = contenders.contender(arguments.contender).answer(default_model())
    print(json.dumps(asdict(measured)), flush=True)
    # A peer's threads may not end in order; what they hold goes with the process.
    os._exit(0)


if __name__ == "__main__":
    main()
