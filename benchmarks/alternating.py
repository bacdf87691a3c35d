"""Samovar and direct calls, prompt by prompt in turn: what no change of the machine's pace can blur.

    python -m benchmarks.alternating [--rounds 5]

In each round every contender is a process of its own that loads the model, as a run is. They answer each
prompt of W12 one after the other, and wait while another answers, so figures that are compared are a second
apart. The ideal is the setting of direct calls that took least. With a contender's name as its argument this
is such a process.

Above: `goal_speed.py`. Below: `contenders.py`, `work.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import anyio

import samovar
from benchmarks.contenders import IDEALS, WARM_UP, WARM_UP_SYSTEM
from benchmarks.results import Spread, spread
from benchmarks.rounds import default_model, empty_cache
from benchmarks.work import MAX_TOKENS, SYSTEM, TOPICS, Direct, question
from samovar.generation import Message

SAMOVAR = "samovar"
ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One prompt answered."""

    wall_s: float
    evaluate_s: float
    """In calls of the engine that evaluated."""
    evaluated: int
    decode_s: float
    """In those that only decoded."""
    decoded: int


Steps = dict[str, list[Step]]
"""By contender; those with one index are a prompt's."""
Ask = Callable[[str, str], Step]
"""Answers a question behind a system prompt."""


def measure(rounds: int = ROUNDS) -> Steps:
    """All prompts of all rounds by each. Raises `RuntimeError` with what a process said when it failed."""
    names = [SAMOVAR, *(setting.name for setting in IDEALS)]
    found: Steps = {name: [] for name in names}
    for number in range(rounds):
        with ExitStack() as stack:
            asks = {name: stack.enter_context(_process(name)) for name in names}
            for index, topic in enumerate(TOPICS):
                first = (number + index) % len(names)
                for name in names[first:] + names[:first]:
                    found[name].append(asks[name](SYSTEM, question(topic)))
        print(f"  {number + 1}/{rounds} rounds", file=sys.stderr, flush=True)
    return found


def best(found: Steps) -> str:
    """The setting of direct calls that took least."""
    return min(
        (setting.name for setting in IDEALS), key=lambda name: sum(step.wall_s for step in found[name])
    )


def over_ideal(found: Steps, figure: Callable[[Sequence[Step]], float]) -> Spread:
    """A figure of Samovar's rounds over that of the ideal's."""
    pairs = zip(_rounds(found[SAMOVAR]), _rounds(found[best(found)]), strict=True)
    return spread([figure(ours) / figure(ideal) for ours, ideal in pairs])


def _rounds(steps: Sequence[Step]) -> list[Sequence[Step]]:
    return [steps[start : start + len(TOPICS)] for start in range(0, len(steps), len(TOPICS))]


def wall(steps: Sequence[Step]) -> float:
    """Seconds."""
    return sum(step.wall_s for step in steps)


def decoding(steps: Sequence[Step]) -> float:
    """Seconds for each decoded token."""
    return sum(step.decode_s for step in steps) / sum(step.decoded for step in steps)


def evaluating(steps: Sequence[Step]) -> float:
    """Seconds for each evaluated token."""
    return sum(step.evaluate_s for step in steps) / evaluated(steps)


def evaluated(steps: Sequence[Step]) -> int:
    """Tokens of prompts."""
    return sum(step.evaluated for step in steps)


@contextmanager
def _process(name: str) -> Iterator[Ask]:
    command = [sys.executable, "-m", "benchmarks.alternating", name]
    with (
        empty_cache() as environment,
        subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdin and process.stdout and process.stderr

        def ask(system: str, said: str) -> Step:
            assert process.stdin and process.stdout and process.stderr
            print(json.dumps([system, said]), file=process.stdin, flush=True)
            if not (line := process.stdout.readline()):
                raise RuntimeError(f"{name} failed: {process.stderr.read().strip()[-1500:]}")
            return Step(**json.loads(line))

        try:
            yield ask
        finally:
            process.stdin.close()


def _answer(name: str) -> None:
    """The process of one contender: a question on each line of standard input, its figures on output."""
    if name == SAMOVAR:
        anyio.run(_samovar)
        return
    direct = Direct(default_model(), next(setting for setting in IDEALS if setting.name == name))

    def ask(system: str, said: str, most: int) -> None:
        direct.answer([Message(role="system", content=system), Message(role="user", content=said)], most)

    ask(WARM_UP_SYSTEM, WARM_UP, 1)
    for line in sys.stdin:
        direct.start_counting()
        began = time.perf_counter()
        system, said = json.loads(line)
        ask(system, said, MAX_TOKENS)
        _say(
            Step(
                wall_s=time.perf_counter() - began,
                evaluate_s=direct.evaluate_s,
                evaluated=direct.evaluated,
                decode_s=direct.decode_s,
                decoded=direct.decode_tokens,
            )
        )


async def _samovar() -> None:
    async with samovar.open(model=str(default_model())) as app:

        async def ask(system: str, said: str, most: int) -> None:
            async with app.session(system=system, max_tokens=most) as session:
                await session.ask(said)

        def used() -> tuple[float, int, float, int]:
            figures = app.statistics().pool.models[0].statistics
            assert figures is not None
            decoded = figures.tokens.generated - answers  # the first of each is of its prompt's logits
            decode_s = decoded / figures.decode_tokens_per_s if figures.decode_tokens_per_s else 0.0
            return figures.evaluate_s or 0.0, figures.tokens.evaluated, decode_s, decoded

        await ask(WARM_UP_SYSTEM, WARM_UP, 1)
        answers = 1
        for line in sys.stdin:
            system, said = json.loads(line)
            before, began = used(), time.perf_counter()
            await ask(system, said, MAX_TOKENS)
            wall_s = time.perf_counter() - began
            answers += 1
            evaluate_s, evaluated, decode_s, decoded = (
                now - was for now, was in zip(used(), before, strict=True)
            )
            _say(
                Step(
                    wall_s=wall_s,
                    evaluate_s=evaluate_s,
                    evaluated=int(evaluated),
                    decode_s=decode_s,
                    decoded=int(decoded),
                )
            )


def _say(step: Step) -> None:
    print(json.dumps(asdict(step)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contender", nargs="?", help="be one of the processes, and answer what is asked")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of twelve prompts")
    arguments = parser.parse_args()
    if arguments.contender:
        _answer(arguments.contender)
        return
    found = measure(arguments.rounds)
    for name, steps in found.items():
        rounds = _rounds(steps)
        print(
            f"{name:<18} {spread([wall(one) for one in rounds])} s for W12; "
            f"{spread([1000 * decoding(one) for one in rounds])} ms a token decoded, "
            f"{spread([1000 * evaluating(one) for one in rounds])} ms a token evaluated"
        )
    for says, figure in (("all", wall), ("decoding", decoding), ("evaluating", evaluating)):
        print(f"over the ideal, {best(found)}: {says} {over_ideal(found, figure)}")


if __name__ == "__main__":
    main()
