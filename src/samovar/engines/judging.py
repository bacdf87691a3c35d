"""The confidence of the choices in an answer, from the probabilities of the possible tokens.

Above: engines that know what they might have said. Below: `certainty.py`. It reads the bytes of an answer and
knows no vocabulary. An answer's other texts, numbers and lists are not choices: nothing is said of them.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from samovar.values.certainty import ChosenValue, Path, Scalar, choices_in, spelled

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OTHER = re.compile(rb"[^\s,\]}]+")
_BEHIND = b",]} \t\r\n"
"""What may come after a value of JSON."""
_LAST = b"\xff"
"""Behind a text, it sorts after all that continue from it: no UTF-8 has this byte."""
_MOST_DEEP = 60

Said = bytes | None
"""What a token says; None if it ends the answer."""


@dataclass(frozen=True, slots=True)
class Step:
    """A token that was picked if others were allowed too."""

    at: int
    """Bytes of the answer before it."""
    taken: Said
    allowed: Sequence[tuple[Said, float]]
    """All that could be said, each with its logit; empty if that was too much to look at."""


def judged(
    choices: tuple[str, ...], schema: str | None, raw: bytes, steps: Sequence[Step]
) -> tuple[ChosenValue, ...]:
    """The choices of an answer that is whole, with how sure each was. Empty if it holds none.

    Args:
        choices: What the whole answer was picked among; empty if it has a schema.
        schema: As JSON.
        raw: What was said for the answer's text, empty lines before it included.
        steps: In their order; if only one token was allowed there need be none.
    """
    if choices:
        return _judged_choice(choices, raw, steps)
    if schema is None:
        return ()
    try:
        value = json.loads(raw)
        spans = dict(_spans(raw, _blanks(raw, 0), ()))
    except (ValueError, RecursionError):
        return ()
    found = (
        _judge(_Chosen(path, one, allowed, spans[path]), raw, steps, is_json=True)
        for path, one, allowed in choices_in(json.loads(schema), value)
    )
    return tuple(one for one in found if one is not None)


def _judged_choice(choices: tuple[str, ...], raw: bytes, steps: Sequence[Step]) -> tuple[ChosenValue, ...]:
    for start in (0, len(raw) - len(raw.lstrip(b"\n"))):
        text = raw[start:].decode("utf-8", "replace")
        if text in choices:
            found = _judge(_Chosen((), text, choices, start), raw, steps, is_json=False)
            return (found,) if found is not None else ()
    return ()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A choice in an answer."""

    path: Path
    value: Scalar
    allowed: Sequence[Scalar]
    start: int
    """Start of its bytes in the answer."""


def _judge(chosen: _Chosen, raw: bytes, steps: Sequence[Step], *, is_json: bool) -> ChosenValue | None:
    """How sure it was. None if nobody can say."""
    start, texts = chosen.start, [_written(one, is_json=is_json) for one in chosen.allowed]
    taken = _written(chosen.value, is_json=is_json)
    open_ = sorted(set(texts))
    confidence = 1.0
    shares: dict[bytes, float | None] = {text: float(text == taken) for text in open_}
    is_decided = False
    for step in islice(steps, bisect_right(steps, float(start), key=_end_of), None):
        said = raw[start : step.at]
        open_ = [text for text in open_ if text.startswith(said)]
        if len(open_) < 2 or step.at > start + len(taken):
            break
        if not step.allowed:
            return None
        rests = [raw[step.at : start] + text[len(said) :] for text in open_]
        ways = [(_ways(one, rests, is_json=is_json), logit) for one, logit in step.allowed]
        mine = _ways(step.taken, rests, is_json=is_json)
        if not mine or all(len(way) in (0, len(open_)) for way, _ in ways):
            continue
        most = max(logit for way, logit in ways if way)
        weights = [(way, math.exp(logit - most)) for way, logit in ways if way]
        total = math.fsum(weight for _, weight in weights)
        confidence *= math.fsum(weight for way, weight in weights if way <= mine) / total
        if not is_decided:
            is_decided = True
            shares = {**dict.fromkeys(shares, 0.0), **_shares(weights, total, open_)}
        open_ = [text for index, text in enumerate(open_) if index in mine]
    named = {spelled(one): shares.get(text) for one, text in zip(chosen.allowed, texts, strict=True)}
    return ChosenValue(path=chosen.path, value=chosen.value, confidence=confidence, alternatives=named)


def _end_of(step: Step) -> float:
    """How much of the answer is said with it."""
    return math.inf if step.taken is None else step.at + len(step.taken)


def _shares(
    weights: Sequence[tuple[frozenset[int], float]], total: float, texts: Sequence[bytes]
) -> dict[bytes, float | None]:
    """The part of each text by itself; None for one that no token parts from all others."""
    alone: dict[bytes, list[float]] = {text: [] for text in texts}
    for way, weight in weights:
        if len(way) == 1:
            alone[texts[min(way)]].append(weight)
    return {text: math.fsum(found) / total if found else None for text, found in alone.items()}


def _ways(said: Said, rests: Sequence[bytes], *, is_json: bool) -> frozenset[int]:
    """Which of the texts, in their order, an answer can still become that continues a token."""
    if said is None:
        return frozenset(index for index, rest in enumerate(rests) if not rest)
    if not said:
        return frozenset()
    found = set(range(bisect_left(rests, said), bisect_left(rests, said + _LAST)))
    for length in range(len(said)) if is_json else ():
        index = bisect_left(rests, said[:length])
        if index < len(rests) and rests[index] == said[:length] and said[length] in _BEHIND:
            found.add(index)
    return frozenset(found)


def _written(value: Scalar, *, is_json: bool) -> bytes:
    text = json.dumps(value, ensure_ascii=False) if is_json else str(value)
    return text.encode("utf-8", "replace")


def _blanks(raw: bytes, at: int) -> int:
    while raw[at : at + 1].isspace():
        at += 1
    return at


def _spans(raw: bytes, at: int, path: Path) -> Iterator[tuple[Path, int]]:
    """Where each value of an answer begins: that at an offset, and those within it. The answer is JSON."""
    yield path, at
    if len(path) > _MOST_DEEP or raw[at : at + 1] not in (b"{", b"["):
        return
    is_map, index = raw[at : at + 1] == b"{", 0
    at = _blanks(raw, at + 1)
    while raw[at : at + 1] not in (b"}", b"]"):
        key: str | int = index
        if is_map:
            end = _end(raw, at)
            key = json.loads(raw[at:end])
            at = _blanks(raw, _blanks(raw, end) + 1)
        yield from _spans(raw, at, (*path, key))
        at = _blanks(raw, _end(raw, at))
        if raw[at : at + 1] == b",":
            at = _blanks(raw, at + 1)
        index += 1


def _end(raw: bytes, at: int) -> int:
    """The offset behind the value that begins at one."""
    deep = 0
    while True:
        first = raw[at : at + 1]
        if first in (b"{", b"["):
            deep, at = deep + 1, at + 1
        elif first in (b"}", b"]"):
            deep, at = deep - 1, at + 1
        elif first in (b",", b":") or first.isspace():
            at += 1
        else:
            match = _TEXT.match(raw, at) or _OTHER.match(raw, at)
            if match is None:
                raise ValueError("the answer is not JSON")
            at = match.end()
        if not deep:
            return at
