"""The waist over a wire: every value comes out as it went in, and what is not a frame is refused."""

from __future__ import annotations

import inspect
import json
import struct
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import samovar.errors
from samovar.engines.base import ModelSpec
from samovar.errors import ContextError, NotFoundError, Place, RateLimitError, SamovarError, ShellError
from samovar.executors import frames
from samovar.executors.base import EmbedRequest, PromptReply, PromptRequest
from samovar.executors.frames import (
    Ask,
    BadFrameError,
    Cancel,
    Embed,
    Embedded,
    Failed,
    Forget,
    Frame,
    FrameReader,
    FullReply,
    Happened,
    Hello,
    decode,
    encode,
)
from samovar.generation import Embeddings, Message, Options, PromptEvent, TextGenerated

TEXT = st.text(st.characters(codec=None), max_size=30)
"""Lone surrogates among it, which names of files may have."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(Path, TEXT.map(Path))
st.register_type_strategy(float, st.floats(allow_nan=False))


def built(kind: type[Any], **given: Any) -> st.SearchStrategy[Any]:
    """Values of a dataclass, every field drawn by its type."""
    return st.builds(kind, **dict.fromkeys(inspect.signature(kind).parameters, ...) | given)


def few(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=2).map(tuple)


MESSAGES = built(Message, parts=st.just(()))
SPECS = built(ModelSpec, replaces=st.none())
REQUESTS = built(
    PromptRequest,
    messages=few(MESSAGES),
    history=few(MESSAGES),
    options=built(Options, template=st.just("none") | st.dictionaries(TEXT, JSON, max_size=3)),
    permits=st.none(),
    going_on=st.none(),
)
NUMBERS = st.integers(0, 2**63)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    built(Hello, held=st.dictionaries(TEXT, JSON, max_size=3)),
    built(Ask, number=NUMBERS, request=REQUESTS, spec=SPECS),
    built(Embed, number=NUMBERS, request=built(EmbedRequest), spec=SPECS),
    built(Forget, number=NUMBERS),
    built(Cancel, number=NUMBERS),
    built(Happened, number=NUMBERS, event=st.one_of(*map(built, frames._EVENTS.values()))),
    built(FullReply, number=NUMBERS, reply=built(PromptReply)),
    built(Failed, number=NUMBERS, attributes=st.dictionaries(TEXT, JSON, max_size=3)),
)


def read(raw: bytes, piece: int = 2**20) -> list[Frame]:
    reader = FrameReader()
    pieces = [raw[at : at + piece] for at in range(0, len(raw), piece)]
    return [frame for one in pieces for frame in reader.feed(one)]


@given(FRAMES)
def test_every_value_comes_out_as_it_went_in(frame: Frame) -> None:
    assert read(encode(frame)) == [frame]


@given(st.lists(FRAMES, max_size=3), st.integers(1, 7))
def test_frames_may_come_in_any_pieces(many: list[Frame], piece: int) -> None:
    assert read(b"".join(map(encode, many)), piece) == many


@given(FRAMES, st.data())
def test_a_frame_that_is_damaged_is_read_or_refused_and_nothing_else(
    frame: Frame, data: st.DataObject
) -> None:
    raw = bytearray(encode(frame)[4:])
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadFrameError):
        decode(bytes(raw))


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_not_a_frame_is_refused(raw: bytes) -> None:
    with pytest.raises(BadFrameError):
        decode(raw)


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"is":"Cancel","number":' + b"9" * 10_000 + b"}", b'{"is":"Cancel","other":1}']
)
def test_what_is_deep_or_endless_is_refused(raw: bytes) -> None:
    with pytest.raises(BadFrameError):
        decode(raw)


def test_a_frame_that_would_be_too_long_is_refused_by_its_length_alone() -> None:
    with pytest.raises(BadFrameError, match="would have 4294967295 bytes"):
        list(FrameReader().feed(struct.pack(">I", 2**32 - 1)))
    with pytest.raises(BadFrameError, match="at most 10 are read"):
        list(FrameReader(10).feed(encode(Cancel(number=1))))


def test_a_frame_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_FRAME_BYTES", 100)
    with pytest.raises(BadFrameError, match="at most 100 are sent"):
        encode(Forget(number=1, session="x" * 200))


def test_vectors_come_out_to_the_last_bit() -> None:
    made = Embeddings(vectors=(array("f", [0.1, -1e-40, 3.0]), array("f")), tokens=3, model="m")
    (frame,) = read(encode(Embedded.of(7, made)))
    assert isinstance(frame, Embedded) and frame.embeddings() == made
    with pytest.raises(BadFrameError):
        Embedded(number=1, vectors=("AAA=",), tokens=1, model="m").embeddings()


def test_every_event_of_a_prompt_crosses() -> None:
    def below(kind: type[Any]) -> set[str]:
        return {kind.__name__}.union(*map(below, kind.__subclasses__()))

    assert below(PromptEvent) - {"PromptEvent"} == set(frames._EVENTS) - {"Begun"}


ERRORS = [
    ContextError(prompt_tokens=9, context_tokens=8, trained_tokens=8, text=2),
    NotFoundError("session", "x", ["y"], place=Place(path=Path("a b.md"), line=3, column=4)),
    RateLimitError("slow", executor="there", retry_after_s=1.5),
    ShellError("failed", exit_code=3),
    samovar.errors.BudgetError("large", needed_bytes=3, budget_bytes=2),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: type(one).__name__)
def test_an_error_keeps_its_class_its_words_and_what_it_knows(error: SamovarError) -> None:
    (frame,) = read(encode(Failed.of(1, error)))
    assert isinstance(frame, Failed)
    back = frame.exception()
    assert type(back) is type(error) and vars(back) == vars(error) and str(back) == str(error)
    assert (back.code, back.retryable, back.exit_status) == (error.code, error.retryable, error.exit_status)


def test_an_error_of_no_known_class_is_one_all_the_same() -> None:
    back = Failed(number=1, error="Fault", message="x").exception()
    assert type(back) is SamovarError and str(back) == "x"


def test_a_peer_cannot_name_a_class_that_is_not_an_error() -> None:
    event = TextGenerated(piece="x")
    raw = encode(Happened(number=1, event=event))[4:].replace(b"TextGenerated", b"PromptRequest")
    with pytest.raises(BadFrameError):
        decode(raw)
