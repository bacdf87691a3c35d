"""Checks labels once the variables are known.

Above: `checking.py`, and `preflight/prepare.py`, which refuses what may be checked but not run. Below: the
values of a workflow, and `language/labels.py`, which has read each label by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from samovar.errors import Fault, Place, Severity, nearest
from samovar.expressions.expression import Expression
from samovar.expressions.names import is_name, normal
from samovar.expressions.types import Type
from samovar.language.labels import PLAIN, THE_LIST, key_of, plain
from samovar.language.prose import verdict_of
from samovar.language.spelling import old_spelling
from samovar.language.workflow import Kind, Transition, When, Workflow

REFUSED_AT_RUN = frozenset(("prose-label",))
"""Codes of warnings about old files with which a file can be checked and listed, and not run."""


def doubtful_labels(
    workflow: Workflow, known: Collection[str], types: Collection[tuple[str, Type]]
) -> Iterator[Fault]:
    """Labels that may not be meant as read.

    Args:
        workflow: Its own transitions are looked at.
        known: The variables that there may be, those of the language among them.
        types: Those that the workflow itself declares or sets, with what each can hold.
    """
    by_key = {key_of(name): (name, type_) for name, type_ in types}
    wrong = {fault.place.line for fault in workflow.warnings if fault.severity == "error"}
    for state in workflow.states.values():
        for one in () if workflow.is_old and state.kind is Kind.FORK else state.transitions:
            if one.is_inherited or one.place.line in wrong:
                continue
            if workflow.is_old:
                yield from _old(one, known)
            elif is_unknown_name(one.condition, known):
                yield _unknown(one, known)
            elif one.when is not When.CONDITION and (own := by_key.get(key_of(one.label))):
                yield _ambiguous(one, *own, taken=by_key)


def is_unknown_name(condition: Expression | None, known: Collection[str]) -> bool:
    """Whether a condition is one name alone, and that of no variable."""
    return condition is not None and is_name(condition.text) and not condition.names <= set(known)


def _unknown(transition: Transition, known: Collection[str]) -> Fault:
    label = transition.label.strip()
    words = [word for words in PLAIN.values() for word in words]
    verdict, offer = verdict_of(label), nearest(label, [*words, *known])
    if not offer.startswith(" Did"):
        offer = " If it is set by `--var`, declare it as a parameter."
        if verdict is not None:
            offer = f" Did you mean `{verdict.when}`?"
    message = f"Nothing sets a variable {label[:60]!r}, and it is not a plain label ({THE_LIST}).{offer}"
    return _fault("unknown-label", message, transition.place)


def _ambiguous(transition: Transition, name: str, type_: Type, taken: Collection[str]) -> Fault:
    values = type_.values
    value = f'"{values[0]}"' if values and isinstance(values[0], str) else "true"
    other = next((word for word in PLAIN[transition.when] if key_of(word) not in taken), "")
    message = (
        f"The label {transition.label.strip()[:60]!r} could also mean the variable {name!r} of the workflow. "
        f"Write `{name} == {value}` for the variable" + (f", or `{other}`." if other else ".")
    )
    return _fault("ambiguous-label", message, transition.place)


def _old(transition: Transition, known: Collection[str]) -> Iterator[Fault]:
    label, place = transition.label.strip(), transition.place
    is_condition = transition.when is When.CONDITION
    if is_condition and (transition.condition is None or is_unknown_name(transition.condition, known)):
        target = "the end" if transition.target is None else repr(transition.target)
        yield _fault(
            "prose-label",
            f"The label {label[:60]!r} of the transition from {transition.source!r} to {target} mentions "
            f"neither "
            "success nor failure and is not a condition on known variables, so `run` refuses the workflow. "
            'Write `success`, `failure`, `default`, or a condition such as `result == "yes"`.',
            place,
            "warning",
        )
    elif not is_condition and plain(label) is None and (verdict := verdict_of(label)) is not None:
        if verdict.why:
            message = (
                f"The label {label[:60]!r} is read as `{verdict.when}`. {verdict.why} Write what you mean."
            )
            yield _fault("doubtful-label", message, place, "warning")
        else:
            yield old_spelling(place, label, str(verdict.when))


def declared_here(workflow: Workflow) -> frozenset[str]:
    """The variables that the workflow declares or sets, without those of the language."""
    return workflow.sets.union(normal(parameter.name) for parameter in workflow.parameters)


def _fault(code: str, message: str, place: Place, severity: Severity = "error") -> Fault:
    return Fault(code=code, message=message, place=place, severity=severity)
