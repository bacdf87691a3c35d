"""The variables that are only known in a run, at each state of a workflow.

Above: `preview.py`. Below: the values of a workflow, and the names that the language sets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

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
        items: dict[str, int] = {}

        def bits(names: Iterable[str]) -> int:
            return sum(1 << numbers.setdefault(name, len(numbers)) for name in {*names})

        for state in workflow.states.values():
            own[state.name] = bits((*always, *state.action.sets)) if state.action is not None else 0
            if state.action is not None and state.name in workflow.bodies:
                items[state.name] = bits(state.action.item_names)
        self._names = list(numbers)
        self._before = dict.fromkeys(workflow.states, 0)
        waiting = deque(workflow.states)
        while waiting:
            name = waiting.popleft()
            after = self._before[name] | own[name]
            targets = [(one.target, after) for one in workflow.states[name].transitions]
            if name in items:  # an item begins with what there was before, and with itself
                targets.append((workflow.bodies[name].first, self._before[name] | items[name]))
            for target, after in targets:
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
