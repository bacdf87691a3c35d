"""Which prompts a house of workflows and conversations asks, one after the other: recorded, and read again.

Above: `eviction.py`. Below: the product, run on the shipped examples with the default model. A record has no
text and no token in it, only how much each prompt has in common with an earlier one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import samovar
from benchmarks.rounds import default_model
from samovar.engines.base import Conversation
from samovar.engines.llama import model as model_module
from samovar.engines.llama.prefixes.base import Row
from samovar.engines.llama.prefixes.tree import TreePrefixes
from samovar.engines.llama.tokens import common_length

EXAMPLES = Path(__file__).parent.parent / "examples"
RECORDED = Path(__file__).parent / "examples.accesses.json"
REPORTS = (
    "The app crashes on start since this morning's update, for everyone in our office.",
    "The colour of the help page is a little too dark on my phone, could it be lighter some day?",
    "Printing puts the second page on the first one when the paper is A5, since version 3.2 or so.",
    "Nobody can log in from the warehouse. The tablets say that the time is wrong, but it is right.",
    "Please add a way to sort the list of customers by the day of their last order.",
    "Exporting 2,000 invoices takes all night and then stops with 'out of memory'. We need them by Friday.",
)
PLANS = (
    "We shall write everything anew in another language, which two of us have learned on a course.",
    "We move the shop to the new payment provider in December, since the contract ends in January.",
)
SAID = (
    "Hello! I am planning a week in the mountains with two children.",
    "What should we pack for rain?",
    "And what if it is sunny all the time?",
    "Which games can one play in a tent?",
    "Thank you. Sum it up in three lines.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One prompt and its answer."""

    like: int
    """The number of the access, from 0, with which it has most in common; -1: with none."""
    shared: int
    """How many tokens it has in common with that one's prompt and answer, from the first on."""
    prompt: int
    """Tokens of the prompt."""
    answer: int
    """Tokens that were generated."""
    promised: int
    """Cells it had to be given: the prompt and the longest answer that it might have had."""
    asker: int
    """The number of its conversation; -1: nobody goes on from it."""
    over: tuple[int, ...] = ()
    """Conversations that have ended since the access before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An access as tokens, each of which stands for all that is before it too."""

    tokens: list[int]
    """Prompt and answer."""
    access: Access

    @property
    def prompt(self) -> list[int]:
        return self.tokens[: self.access.prompt]


def as_tokens(accesses: Sequence[Access]) -> Iterator[Asked]:
    """The accesses with tokens that have as much in common as those recorded."""
    asked: list[Asked] = []
    new = 0
    for access in accesses:
        size = access.prompt + access.answer
        before = asked[access.like].tokens[: access.shared] if access.like >= 0 else []
        tokens = [*before, *range(new, new + size - len(before))]
        new += size - len(before)
        asked.append(Asked(tokens=tokens, access=access))
        yield asked[-1]


def read(path: Path = RECORDED) -> list[Access]:
    """Recorded accesses."""
    return [Access(**{**one, "over": tuple(one["over"])}) for one in json.loads(path.read_text())]


def write(accesses: Sequence[Access], path: Path = RECORDED) -> None:
    """One access on each line."""
    lines = ",\n".join(json.dumps(asdict(access)) for access in accesses)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


class Recorder:
    """What the decode loop does with its prefixes, written down. Mutable: what was seen so far."""

    def __init__(self) -> None:
        self.accesses: list[Access] = []
        self._sequences: list[list[int]] = []
        self._conversations: list[Conversation] = []
        self._ended: set[int] = set()
        self._asked: dict[int, tuple[list[int], int]] = {}  # by the row's sequence
        self._promised = 0

    def is_asked(self, cells: int) -> None:
        self._promised = cells

    def begins(self, row: Row, tokens: Sequence[int]) -> None:
        self._asked[row.sequence] = list(tokens), self._promised

    def ends(self, row: Row, conversation: Conversation | None) -> None:
        prompt, promised = self._asked.pop(row.sequence)
        tokens = list(row.tokens)
        common = [common_length(one, tokens) for one in self._sequences]
        shared = max(common, default=0)
        ended = [
            number
            for number, one in enumerate(self._conversations)
            if one.is_over and number not in self._ended
        ]
        self._ended.update(ended)
        self.accesses.append(
            Access(
                like=common.index(shared) if shared else -1,
                shared=shared,
                prompt=len(prompt),
                answer=len(tokens) - len(prompt),
                promised=promised,
                asker=-1 if conversation is None else self._number(conversation),
                over=tuple(ended),
            )
        )
        self._sequences.append(tokens)

    def _number(self, conversation: Conversation) -> int:
        if conversation not in self._conversations:
            self._conversations.append(conversation)
        return self._conversations.index(conversation)

    def make(self, *parts: Any) -> TreePrefixes:
        recorder = self

        class Recording(TreePrefixes):
            def is_room(self, tokens: Sequence[int], cells: int, *rest: Any) -> bool:
                recorder.is_asked(cells)
                return super().is_room(tokens, cells, *rest)

            def begin(self, row: Row, tokens: Sequence[int], *rest: Any, **more: Any) -> None:
                recorder.begins(row, tokens)
                super().begin(row, tokens, *rest, **more)

            def give_back(self, row: Row, conversation: Conversation | None) -> None:
                recorder.ends(row, conversation)
                super().give_back(row, conversation)

        return Recording(*parts)


async def record() -> list[Access]:
    """A day of the examples in one process, with the default model: some of it twice, a chat in between."""
    recorder = Recorder()
    vars(model_module)["TreePrefixes"] = recorder.make
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder) / "reports.txt"
        reports.write_text("\n".join(REPORTS) + "\n", encoding="utf-8")
        async with (
            samovar.open(model=str(default_model()), snapshots_bytes=0) as app,
            app.session(system="You are a friendly, brief companion.") as chat,
        ):
            for said in SAID:
                await chat.ask(said, max_tokens=120)
                await app.run(EXAMPLES / "compare.md", {"text": PLANS[len(said) % 2]})
                await app.run(EXAMPLES / "triage.md", {"reports": str(reports)})
                for report in REPORTS[:2]:
                    await _aspects(app, report)
                with reports.open("a", encoding="utf-8") as file:
                    file.write(f"{said} This is why I need the list of huts today.\n")
    return recorder.accesses


async def _aspects(app: samovar.Samovar, text: str) -> None:
    """As `examples/aspects.py`."""
    async with app.session(system="You judge bug reports.") as session:
        await session.ask(f"Read this report, and say only OK:\n\n{text}", choices=["OK"])
        for question in ("urgent", "about printing", "angry"):
            async with session.fork() as fork:
                await fork.ask(f"In one word: is it {question}?", choices=["yes", "no"])
