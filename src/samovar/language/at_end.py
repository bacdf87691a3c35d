"""`finally: STATE` in the front matter: a state whose action is performed at every ending of the workflow.

Above: `reading.py`. Below: the values of `workflow.py`. The state is alone in the diagram: no transition
leads to it or out of it. It runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from samovar.errors import Fault, Severity, nearest
from samovar.language.model_names import Named
from samovar.language.names import OF_COMMAND
from samovar.language.workflow import Kind, State


def meant_at_end(named: Named | None, states: Mapping[str, State], initial: str) -> str | None:
    """The state that `finally` means, also if its name is misspelt: then one that is alone in the diagram."""
    if named is None or named.text in states:
        return named.text if named else None
    led_to = {one.target for state in states.values() for one in state.transitions} | {initial}
    alone = [name for name, state in states.items() if name not in led_to and not state.transitions]
    return next(iter([*get_close_matches(named.text, alone, n=1), *alone]), None)


def faults_at_end(named: Named, states: Mapping[str, State], initial: str | None) -> Iterator[Fault]:
    """Mistakes in the state that `finally` names. What it sets is gone: a warning."""
    name, state = named.text, states.get(named.text)

    def fault(message: str, *, is_error: bool = True) -> Fault:
        severity: Severity = "error" if is_error else "warning"
        return Fault(code="finally", message=message, place=named.place, severity=severity)

    if state is None:
        yield fault(
            f"`finally` names the state {name!r}, which the diagram does not have: add `state {name}` there."
            f"{nearest(name[:100], states)}"
        )
        return
    entering = any(one.target == name for other in states.values() for one in other.transitions)
    if name == initial or entering or state.transitions or state.kind is not Kind.PLAIN:
        yield fault(
            f"The state {name!r} of `finally` is performed at every ending, so it must be alone in the "
            f"diagram, without transitions and outside composites: `state {name}`."
        )
    elif state.action is None:
        yield fault(f"The state {name!r} of `finally` has no action: add `- {name}: …` below `## Actions`.")
    elif any(action.verb == "abort" for action in state.actions):
        yield fault(
            f"The state {name!r} of `finally` cannot abort: the run has already ended when it is performed."
        )
    elif sets := sorted({name for action in state.actions for name in action.sets if name not in OF_COMMAND}):
        yield fault(
            f"What the state {name!r} of `finally` sets ({', '.join(sets)}) is lost after it: nothing can "
            "read it.",
            is_error=False,
        )
