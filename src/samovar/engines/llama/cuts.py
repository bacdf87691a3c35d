"""Cuts a text before the engine tokenizes it, so that no pre-tokenizer takes hours.

Above: `vocabulary.py`. Below: nothing. Three of the pinned build's pre-tokenizers (`llm_tokenizer_bpe` in
`llama-vocab.cpp`) look at a run of equal characters once for each of its characters: the work grows with the
square of the run. The pieces of such a run become the tokens of the whole, with the exception named below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

GROUP_DIGITS = 3
RUN_DIGITS = 33 * GROUP_DIGITS
"""A run of digits is looked at in pieces of this many."""
RUN_BLANKS = 64
"""From this many blanks on a run of them ends a piece."""
STEP_BLANKS = 8 * 512
"""A longer run of blanks without a line break is looked at in pieces of this many."""

_DIGITS = re.compile(rf"[0-9]{{{RUN_DIGITS + 1},}}")
_BLANKS = re.compile(rf"\s{{{RUN_BLANKS},}}")
_LINE_BLANKS = re.compile(rf"[^\S\r\n\x1c-\x1f]{{{STEP_BLANKS + 1},}}")
_TAKES_A_BLANK = re.compile(r"[!-/:-~]")


def _in_groups(text: str) -> Iterator[int]:
    """`(?=(\\d{3})+(?!\\d))` parts groups of three digits, from the right; so do these cuts."""
    for run in _DIGITS.finditer(text):
        yield from range(run.start() + (run.end() - run.start()) % RUN_DIGITS, run.end(), RUN_DIGITS)


def _after_blanks(text: str) -> Iterator[int]:
    """`\\s+$` is tried from each blank that no word follows.

    A letter beyond ASCII right after this many blanks is a token without the last of them.
    """
    for run in _BLANKS.finditer(text):
        if run.end() < len(text) and not _TAKES_A_BLANK.match(text, run.end()):
            yield run.end()


def _in_steps(text: str) -> Iterator[int]:
    """A run is taken in steps of 512 by one branch, before which another looks at all that is left of it."""
    for run in _LINE_BLANKS.finditer(text):
        if text[run.end() : run.end() + 1] not in ("\r", "\n"):
            yield from range(run.start() + STEP_BLANKS, run.end(), STEP_BLANKS)


_WHERE: Mapping[str, Callable[[str], Iterator[int]]] = {
    "superbpe": _in_groups,
    "deepseek-llm": _after_blanks,
    "jais-2": _in_steps,
}
"""By the name of the pre-tokenizer in a model's file."""


def pieces(pre_tokenizer: str, text: str) -> list[str]:
    """`text` in pieces that become tokens one by one; nearly always it is one piece."""
    where = _WHERE.get(pre_tokenizer)
    if where is None:
        return [text]
    cuts = [cut for cut in where(text) if cut]
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
