"""Chooses the transition out of a state: the first true one in document order.

Above: the runner. Below: workflows and expressions. It changes nothing and knows no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from samovar.errors import ExpressionError, Place, TooLargeError
from samovar.expressions.typing_rules import says_no
from samovar.language.names import OF_FAILURE
from samovar.language.workflow import Kind, State, Transition, When
from samovar.values import to_text, truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What decides, besides the variables."""

    failed_here: bool
    """The action of this very state failed."""
    failed_last: bool
    """The last action failed, in whichever state."""
    goes_on: bool
    """After a failure any transition may be taken (`on_error: continue`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A transition that was not taken, and why."""

    transition: Transition
    why: str
    """As the end of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which transition is taken, and what was found on the way."""

    transition: Transition | None
    """None: none is true."""
    started: tuple[Transition, ...] = ()
    """For a fork: the edges whose branches start, in the order of the file."""
    tried: tuple[Tried, ...] = ()
    """Those before it that were not true; all of them if none is."""
    warnings: tuple[tuple[str, Place], ...] = ()
    """Conditions that could not be evaluated and count as false."""
    doubts: tuple[tuple[str, Place], ...] = ()
    """What conditions may not mean: comparisons of a text with a number, a text that says no and is true."""


def choose(state: State, variables: Mapping[str, object], situation: Situation) -> Choice:
    """The transition to take now; out of a fork, all that start a branch."""
    tried: list[Tried] = []
    warnings: list[tuple[str, Place]] = []
    doubts: list[tuple[str, Place]] = []

    def choice(transition: Transition | None) -> Choice:
        return Choice(
            transition=transition,
            started=tuple(started),
            tried=tuple(tried),
            warnings=tuple(warnings),
            doubts=tuple(doubts),
        )

    defaults: list[Transition] = []
    started: list[Transition] = []
    is_fork = state.kind is Kind.FORK
    for transition in state.transitions:
        if transition.when is When.DEFAULT:
            defaults.append(transition)
            continue
        if started and transition.is_inherited:
            continue
        try:
            why = _why_not(transition, variables, situation, doubts, _names_of_failure(state, variables))
        except (ExpressionError, TooLargeError) as error:
            why = f"cannot be evaluated: {error.message}"
            warnings.append(
                (f"A condition counts as false: {error.message}", error.place or transition.place)
            )
        if why is not None:
            tried.append(Tried(transition=transition, why=why))
        elif is_fork and not transition.is_inherited:
            started.append(transition)
        else:
            return choice(transition)
    if started:
        return choice(started[0])
    if defaults and (not situation.failed_here or situation.goes_on):
        started += defaults if is_fork else ()
        return choice(defaults[0])
    tried += (Tried(transition=one, why=_NOT_AFTER_FAILURE) for one in defaults[:1])
    return choice(None)


_NOT_AFTER_FAILURE = "is not taken after a failure (on_error: continue in the front matter allows it)"


def _names_of_failure(state: State, variables: Mapping[str, object]) -> frozenset[str]:
    """The variables of which a condition must read one to count after a failure, this time."""
    return state.of_failure if variables.get("exit_code") else OF_FAILURE


def _why_not(
    transition: Transition,
    variables: Mapping[str, object],
    situation: Situation,
    doubts: list[tuple[str, Place]],
    of_failure: frozenset[str],
) -> str | None:
    """Why this transition is not taken, as the end of a sentence; None if it is."""
    when = transition.when
    if transition.is_inherited and not situation.failed_last:
        return "the last action did not fail"
    stops = situation.failed_here and not situation.goes_on
    if when is When.ALWAYS:
        return _NOT_AFTER_FAILURE if stops and not transition.is_written_always else None
    if when is When.SUCCESS:
        return "the last action failed" if situation.failed_last else None
    if when is When.FAILURE:
        return None if situation.failed_last else "the last action did not fail"
    condition = transition.condition
    if condition is None:
        return "is prose, which has no meaning here"
    if stops and not condition.names & of_failure:
        return "after a failure, a condition counts only if it names success, failure, is_error or error"
    value = condition.evaluate(variables, doubts=doubts)
    if truth(value):
        if says_no(value):
            doubts.append((f"{_TRUE_THOUGH_NO} In: {condition.text[:60]}", condition.place))
        return None
    return f"is {to_text(value) or 'empty'}{_where(condition.names, variables)}"


_TRUE_THOUGH_NO = "A text that says no counts as true here, like any text but the empty one: compare it."
_SHOWN_CHARS = 40
"""Characters of a value in a reason."""


def _where(names: frozenset[str], variables: Mapping[str, object]) -> str:
    shown = ", ".join(_shown(names, variables))
    return f" where {shown}" if shown else ""


def _shown(names: frozenset[str], variables: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(names):
        value = variables.get(name)
        text = to_text(value)
        text = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
        # In quotes as it is: white space at its ends may be the reason why it does not match another text.
        yield f"{name} = {text!r}" if isinstance(value, str) else f"{name} = {text or 'null'}"


def failure_edge(join: State) -> Transition | None:
    """What a join leads to after a branch has failed that did not handle its failure."""
    for one in join.transitions:
        if one.when is When.FAILURE or one.is_written_always:
            return one
    return None


def explain(state: State, choice: Choice) -> str:
    """Why no transition leaves this state."""
    if not choice.tried:
        return f"No transition leaves state {state.name!r}."
    reasons = "; ".join(f"`{tried.transition.label or 'unlabelled'}` {tried.why}" for tried in choice.tried)
    return f"No transition of state {state.name!r} is true: {reasons}."


def states_that_only_choose(states: Mapping[str, State]) -> frozenset[str]:
    """The states that have no action of their own in the older system (`choice_states_act: false`).

    They have at least two transitions, those to the end not counted, of which one is conditional.
    """
    return frozenset(name for name, state in states.items() if _only_chooses(state))


def _only_chooses(state: State) -> bool:
    onward = [transition for transition in state.transitions if transition.target is not None]
    return len(onward) > 1 and any(transition.when is not When.ALWAYS for transition in onward)
