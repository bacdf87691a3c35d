"""An answer that was interrupted goes on from the token where it was, in another process, with any engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from samovar.engines.base import Finished, Model
from samovar.generation import (
    Begun,
    GoingOn,
    Message,
    Options,
    Sampling,
    TextGenerated,
)
from samovar.models.snapshots import Snapshots, _Job
from tests.on_tiny import loaded, user

pytestmark = pytest.mark.anyio

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad", "so so"]}, "why": {"type": "string", "maxLength": 5}},
        "required": ["mood", "why"],
        "additionalProperties": False,
    }
)
WARM = Sampling(temperature=1.3, seed=7)
KINDS = {
    "greedy": Options(max_tokens=12),
    "seeded": Options(max_tokens=12, sampling=WARM),
    "nearly-greedy": Options(max_tokens=12, sampling=replace(WARM, top_k=2, top_p=0.7, min_p=0.05)),
    "penalties": Options(max_tokens=12, sampling=replace(WARM, repeat_penalty=1.6)),
    "greedy-penalties": Options(max_tokens=12, sampling=Sampling(repeat_penalty=1.6)),
    "choices": Options(choices=("yes, very much", "yes, very little", "yes, no"), sampling=WARM),
    "schema": Options(max_tokens=60, schema=SCHEMA, sampling=WARM),
    "regex": Options(max_tokens=30, regex="[a-f]{3}-[äöü€]{4}", sampling=WARM),
    "grammar": Options(max_tokens=30, grammar='start: "<" /[a-z]{4}/ ("," /[a-z]/)* ">"', sampling=WARM),
    "raw": Options(max_tokens=10, template="none", sampling=WARM),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All that is the same, whether an answer was interrupted or not."""

    pieces: tuple[tuple[str, str, tuple[int, ...]], ...]
    """By kind: the text, and the tokens it is made of."""
    end: Finished

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(token for _, _, tokens in self.pieces for token in tokens)


def heard(events: Sequence[object]) -> Heard:
    pieces = [event for event in events if isinstance(event, TextGenerated)]
    kinds = dict.fromkeys(piece.kind for piece in pieces)
    [end] = [event for event in events if isinstance(event, Finished)]
    return Heard(
        pieces=tuple(
            (
                kind,
                "".join(piece.piece for piece in pieces if piece.kind == kind),
                tuple(token for piece in pieces if piece.kind == kind for token in piece.tokens),
            )
            for kind in kinds
        ),
        end=end,
    )


async def answered(
    model: Model, messages: Sequence[Message], options: Options, begun: Sequence[Begun] = ()
) -> tuple[Heard, list[Begun]]:
    """The answer, and what was kept of it: after each token."""
    kept: list[Begun] = []
    going_on = GoingOn(begun=tuple(begun), keep=kept.append, every_s=0.0)
    async with model.generate(messages, options, going_on=going_on) as events:
        found = heard([event async for event in events])
    return found, kept


def same(one: Heard, other: Heard) -> bool:
    """Figures of time and of what was evaluated differ."""
    ends = [replace(end, tokens=None, first_token_s=None) for end in (one.end, other.end)]
    counts = [(end.tokens.generated, end.tokens.reasoning, end.reason) for end in (one.end, other.end)]
    return one.pieces == other.pieces and ends[0] == ends[1] and counts[0] == counts[1]


class Lazy(Snapshots):
    """Copies of which none is deleted, as if each process had been killed at once."""

    def offer(self, job: _Job) -> bool:
        return job.is_removal or super().offer(job)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deterministic", [False, True])
async def test_an_answer_goes_on_from_every_token_and_is_the_same(
    tiny_model: Path, tmp_path: Path, kind: str, deterministic: bool
) -> None:
    options = replace(KINDS[kind], deterministic=deterministic)
    messages = user("hello there, what is it that you say to the tin " * 6)
    copies = tmp_path / "copies"
    async with loaded(tiny_model, snapshots=Lazy(copies, 1 << 30)) as model:
        whole, kept = await answered(model, messages, options)
        assert [len(one.tokens) for one in kept] == sorted({len(one.tokens) for one in kept})
        assert len(kept) >= 3
    async with loaded(tiny_model, snapshots=Lazy(copies, 1 << 30)) as model:
        for one in kept:
            again, more = await answered(model, messages, options, [one])
            assert same(again, whole), one
            assert again.end.tokens.resumed == len(one.tokens)
            assert all(len(other.tokens) > len(one.tokens) for other in more)
