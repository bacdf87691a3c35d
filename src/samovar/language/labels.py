"""The meaning of a transition's label: one of a closed list of plain words, or an expression.

Above: `graph.py`, which knows the transition. Below: expressions, `prose.py` for what words in old files say,
and the values of `workflow.py`. Pure. Whether a name in a new file's label is a variable's, `checks/` knows.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from samovar.errors import Fault, FaultsError, Fix, Place
from samovar.expressions.expression import Expression
from samovar.expressions.names import is_name, normal
from samovar.language.names import ALWAYS_THERE, BRANCHES, OF_COMMAND
from samovar.language.prose import READ_BEFORE, verdict_of
from samovar.language.workflow import When

PLAIN: Mapping[When, tuple[str, ...]] = {
    When.SUCCESS: ("success", "on success", "valid", "is valid"),
    When.FAILURE: ("failure", "on failure", "fail", "failed", "error", "on error", "invalid"),
    When.ALWAYS: ("always",),
    When.DEFAULT: ("default", "else"),
}
"""Every plain label. Letter case, `_` and blanks make no difference."""
THE_LIST = "; ".join(f"{', '.join(f'`{word}`' for word in words)}" for words in PLAIN.values())
"""As a sentence has it."""

OPERATORS = re.compile(r"==|!=|&&|\|\||[.()<>!?\[\]+*/%\"'“”‘’„«»]")
"""What prose rarely has, and an expression of more than one name almost always."""

_SIGNS = re.compile(r"[=&|<>()\[\]{}+*\"“”]")
"""Only expressions have these."""
_LANGUAGES_OWN = frozenset((*ALWAYS_THERE, *OF_COMMAND, BRANCHES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a label means."""

    when: When
    condition: Expression | None = None
    """For `When.CONDITION`; None there if the label has no meaning."""
    is_passed_over: bool = False
    """It means as much as no label."""


def key_of(label: str) -> str:
    """A label as it is compared with the plain ones."""
    return re.sub(r"[_\s]+", "", label).lower()


_BY_KEY: Mapping[str, When] = {key_of(word): when for when, words in PLAIN.items() for word in words}
_BLANKS_AND_HYPHENS = re.compile(r"[-_\s]+")


def plain(label: str) -> When | None:
    """What a plain label means, or none at all; None for any other."""
    return _BY_KEY.get(key) if (key := key_of(label)) else When.ALWAYS


def read_label(label: str, place: Place) -> Meaning:
    """What a label means. Raises `FaultsError` for one that is neither plain nor an expression."""
    if (when := plain(label)) is not None:
        return Meaning(when=when)
    text = label.strip()
    key = _BLANKS_AND_HYPHENS.sub("", text).lower()
    if (meant := _BY_KEY.get(key) or _BY_KEY.get(key.removeprefix("on"))) is not None:
        raise _unknown(text, place, f"Write `{meant}`.", meant)
    try:
        return Meaning(when=When.CONDITION, condition=Expression.parse(text, place))
    except FaultsError as error:
        if _is_prose(text, error):
            raise _as_prose(text, place, error) from error
        faults = [
            replace(
                fault,
                message=f"The label is not a plain label ({THE_LIST}), and it cannot be read as a "
                f"condition. {fault.message}",
            )
            for fault in error.faults
        ]
        raise FaultsError(faults) from error


def _is_prose(text: str, error: FaultsError) -> bool:
    """Whether what cannot be read as an expression was not meant as one."""
    return not _SIGNS.search(text) and all(fault.code == "condition-syntax" for fault in error.faults)


def _as_prose(text: str, place: Place, error: FaultsError) -> FaultsError:
    """The message about prose: what it meant where prose was read, or how it is written as an expression."""
    verdict = verdict_of(text)
    complaint = error.faults[0].message.partition("cannot be read: ")[2]
    if verdict is not None and not verdict.why:
        meant = verdict.when if verdict.word in READ_BEFORE else None
        return _unknown(text, place, f"Did you mean `{verdict.when}`?", meant)
    if verdict is not None:
        return _unknown(text, place, "Write `success` or `failure`.")
    if complaint.startswith(("Write", "To compare")):
        return _unknown(text, place, complaint)
    return _unknown(text, place, 'A condition is written as in `result == "yes"`.')


def _unknown(text: str, place: Place, offer: str, meant: When | None = None) -> FaultsError:
    """The message about a label that means nothing. `meant`: what it surely means."""
    message = f"The label {text[:60]!r} is neither a plain label ({THE_LIST}) nor an expression. {offer}"
    fix = Fix(place=place, old=text, new=str(meant)) if meant and "\n" not in text else None
    return FaultsError([Fault(code="unknown-label", message=message, place=place, fix=fix)])


def read_old_label(label: str, place: Place, *, is_only: bool, known: Container[str]) -> Meaning:
    """What the label of an old file means. Raises `FaultsError` for an expression that cannot be read.

    Args:
        label: Without the colon before it.
        place: Of its first character.
        is_only: No other transition leaves the state.
        known: The variables that something in the workflow sets.
    """
    text, when = label.strip(), plain(label)
    if when in (When.ALWAYS, When.DEFAULT):
        return Meaning(when=when)
    is_single = is_name(text)
    if is_single and normal(text) in known:
        return Meaning(when=When.CONDITION, condition=Expression.parse(text, place))
    if when is not None:
        return Meaning(when=when)
    if is_single and text in _LANGUAGES_OWN:
        return Meaning(when=When.CONDITION, condition=Expression.parse(text, place))
    expression = _expression(text, place)
    if expression is not None and OPERATORS.search(text):
        return Meaning(when=When.CONDITION, condition=expression)
    if verdict := verdict_of(text):
        return Meaning(when=verdict.when)
    if expression is not None and not is_single:
        return Meaning(when=When.CONDITION, condition=expression)
    if is_only:
        return Meaning(when=When.ALWAYS, is_passed_over=True)
    return Meaning(when=When.CONDITION, condition=expression)


def _expression(text: str, place: Place) -> Expression | None:
    """The label as an expression; None for what is prose. Raises `FaultsError` for one with mistakes."""
    try:
        return Expression.parse(text, place)
    except FaultsError as error:
        if not _is_prose(text, error):
            raise
        return None
