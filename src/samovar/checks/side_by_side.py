"""Conversations and variables that several branches of a fork use at the same time.

Above: `checking.py`. Below: the values of a workflow, and the claims of branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from samovar.actions.prompt import ExecutePrompt
from samovar.errors import Fault, Place, nearest
from samovar.language.names import BUILT_IN
from samovar.language.workflow import Branch, State, Workflow
from samovar.running.branches import Claims


def doubtful_sessions(workflow: Workflow) -> Iterator[Fault]:
    """Copies of sessions that there never are, and sessions that two branches of a fork use."""
    prompts = [action for _, action in workflow.actions() if isinstance(action, ExecutePrompt)]
    begun = [session for prompt in prompts if (session := prompt.using.of("session"))]
    known = {session.text({}) for session in begun if session.is_literal}
    for prompt in prompts:
        copied = prompt.using.of("fork")
        if copied is None or not copied.is_literal or not all(session.is_literal for session in begun):
            continue
        if (name := copied.text({})) not in known:
            message = f"No state has the session {name!r}, so it cannot be copied.{nearest(name, known)}"
            yield Fault(code="unknown-session", message=message, place=copied.place)
    order = _order(workflow)
    for fork in workflow.forks.values():
        claims = Claims()
        for branch in fork.branches:
            for state in _states_of(branch, workflow, order):
                yield from _claims(state, branch.first, claims)


def _claims(state: State, branch: str, claims: Claims) -> Iterator[Fault]:
    """The sessions that a state of a branch uses though another branch does."""
    for action in state.actions:
        if not isinstance(action, ExecutePrompt):
            continue
        for key in ("session", "fork"):
            session = action.using.of(key)
            if session is None or not session.is_literal:
                continue
            name = session.text({})
            other = claims.claim(name, branch, continues=key == "session")
            if other is not None:
                message = (
                    f"The branch {branch!r} uses the session {name!r}, and so does the branch "
                    f"{other!r}: give each branch its own session, as a copy with fork=…"
                )
                yield Fault(code="shared-session", message=message, place=session.place)


def set_by_several(workflow: Workflow) -> Iterator[Fault]:
    """Variables that several branches of a fork set, each if the last of them does so first."""
    order = _order(workflow)
    for fork in workflow.forks.values():
        if fork.needed is not None and fork.needed.count == 1:
            continue  # what one of them set is all that is merged
        setters: dict[str, dict[str, Place]] = {}
        for branch in fork.branches:
            for state in _states_of(branch, workflow, order):
                for action in state.actions:
                    for name in action.sets - BUILT_IN:
                        setters.setdefault(name, {}).setdefault(branch.first, action.place)
        for name, places in setters.items():
            if len(places) > 1:
                *others, last = places
                message = (
                    f"The branches {', '.join(map(repr, others))} and {last!r} of the fork {fork.name!r} set "
                    f"{name!r}: after the join it keeps the value of the last branch that changed it. "
                    "Use a different name in each branch."
                )
                yield Fault(code="shared-variable", message=message, place=places[last], severity="warning")


def _order(workflow: Workflow) -> Mapping[str, int]:
    """The position of each state in the file."""
    return {name: index for index, name in enumerate(workflow.states)}


def _states_of(branch: Branch, workflow: Workflow, order: Mapping[str, int]) -> Iterator[State]:
    """In the order of the file."""
    return (workflow.states[name] for name in sorted(branch.states, key=order.__getitem__))
