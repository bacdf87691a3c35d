"""Which variables only a run can know, at each state of a workflow.

Above: `preview.py`. Below: the values of a workflow, and the names that the language sets.
"""

from __future__ import annotations

from collections import deque

from samovar.language.names import BRANCHES, FIRST
from samovar.language.workflow import State, Workflow
from samovar.preflight.filling import Later


class Unknowns:
    """Which variables something may have set before a state is entered."""

    def __init__(self, workflow: Workflow) -> None:
        self._names: list[str] = []
        self._later: dict[int, Later] = {}
        always = (*FIRST, *([BRANCHES] if workflow.forks else []))
        numbers: dict[str, int] = {}
        own: dict[str, int] = {}
        for state in workflow.states.values():
            names = (*always, *state.action.sets) if state.action is not None else ()
            own[state.name] = sum(1 << numbers.setdefault(name, len(numbers)) for name in {*names})
        self._names = list(numbers)
        self._before = dict.fromkeys(workflow.states, 0)
        waiting = deque(workflow.states)
        while waiting:
            name = waiting.popleft()
            after = self._before[name] | own[name]
            for transition in workflow.states[name].transitions:
                target = transition.target
                if target is not None and self._before[target] | after != self._before[target]:
                    self._before[target] |= after
                    waiting.append(target)

        if workflow.at_end is not None:  # it comes behind any of the others
            for name, before in list(self._before.items()):
                self._before[workflow.at_end] |= before | own[name] if name != workflow.at_end else 0

    def later(self, state: State) -> Later:
        """What only the run knows where the state is entered."""
        bits = self._before[state.name]
        if bits not in self._later:
            names = (name for number, name in enumerate(self._names) if bits >> number & 1)
            self._later[bits] = {name: f"${{{name}}}" for name in names}
        return self._later[bits]
