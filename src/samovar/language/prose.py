"""Prose labels about the end of the last action: `Tests passed`, `All Complete`, `Input invalid`.

Above: `labels.py`; `checks/labels.py`, which warns of what is doubtful. Below: nothing but `When`. Pure:
words in, a verdict out. In old files it counts; in new ones it is only offered as what was probably meant.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from samovar.language.workflow import When

FAILING = frozenset(
    (
        *("fail", "fails", "failed", "failing", "failure", "failures", "error", "errors", "invalid"),
        *("rejected", "refused", "denied", "broken", "unsuccessful", "incomplete", "unsuccessfully"),
    )
)
SUCCEEDING = frozenset(
    (
        *("success", "succeed", "succeeds", "succeeded", "successful", "successfully", "valid", "validated"),
        *("pass", "passes", "passed", "complete", "completes", "completed", "ready", "done", "finished"),
        *("approved", "accepted", "ok", "okay"),
    )
)
READ_BEFORE = frozenset(("fail", "failure", "error", "invalid", "success", "valid"))
"""The words that counted in every file before the plain labels were a closed list."""
NEGATIONS = frozenset(
    (
        *("not", "no", "never", "without", "non", "nothing", "none", "neither", "nor", "cannot", "zero"),
        *("isnt", "arent", "wasnt", "werent", "doesnt", "dont", "didnt", "hasnt", "havent", "cant", "wont"),
    )
)
_CLAUSE = re.compile(r"[,;:]|\b(?:and|or|but|else|then|when|if)\b", re.I)


class Verdict(NamedTuple):
    """What prose says of how the last action ended."""

    when: When
    word: str
    """By which it was found."""
    why: str
    """Why that is doubtful, as a sentence; empty if it is not."""


def verdict_of(text: str) -> Verdict | None:
    """Whether prose says that the last action succeeded or failed; None if it speaks of something else.

    A name such as `are_tests_passing` is one word, of which no part counts.
    """
    found: list[tuple[When, str, str]] = []
    for clause in _CLAUSE.split(text):
        negation = ""
        words = re.findall(r"\w+", re.sub(r"['’]", "", clause.lower()))
        for index, word in enumerate(words):
            if word in NEGATIONS:
                negation = word
            when = _of_word(word, alone=len(words) == 1)
            if when is None:
                continue
            if words[index + 1 : index + 2] == ["free"]:
                negation = "free"
            found.append((_turned(when) if negation else when, word, negation))
            negation = ""
    if not found:
        return None
    failing = [one for one in found if one[0] is When.FAILURE]
    when, word, negation = (failing or found)[0]
    why = ""
    if len({one[0] for one in found}) > 1:
        why = "It mentions both success and failure."
    elif negation:
        where = "after" if negation == "free" else "before"
        why = f"{negation!r} is {where} {word!r} and reverses it; the older system ignored that."
    return Verdict(when, word, why)


def _of_word(word: str, *, alone: bool) -> When | None:
    """`alone`: it is all there is, and may be `OnFailed` or `on_complete`."""
    word = re.sub(r"^(?:on|is)_?(?=\w)", "", word) if alone else word
    return When.FAILURE if word in FAILING else When.SUCCESS if word in SUCCEEDING else None


def _turned(when: When) -> When:
    return When.SUCCESS if when is When.FAILURE else When.FAILURE
