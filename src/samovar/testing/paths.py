"""States by path, in a workflow and in those it runs: `Reply/Draft` is the state Draft of what Reply runs.

Above: the tests of workflows. Below: the library, and what checking knows of actions. Nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from samovar.actions.workflow import RunWorkflow
from samovar.errors import NotFoundError, SamovarError
from samovar.language.workflow import State, Workflow
from samovar.library import Library

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """The workflows that a state can run."""

    workflows: tuple[Workflow, ...] = ()
    is_open: bool = False
    """There may be others: a name is only known in a run, or its file cannot be read."""


class Tree:
    """A workflow and all that it runs, looked up as far as they are asked for.

    Mutable: the workflows found so far.
    """

    def __init__(self, workflow: Workflow, library: Library) -> None:
        self.workflow, self.library = workflow, library
        self._children: dict[tuple[int, str], Children] = {}

    def find(self, path: str) -> State | None:
        """The state of a path; None below a state of which only the run knows what it runs.

        Raises `NotFoundError` with the nearest path.
        """
        found = self._find(self.workflow, path)
        if isinstance(found, State):
            return found
        if found is None:
            return None
        raise NotFoundError("state", path, found)

    def _find(self, workflow: Workflow, path: str, prefix: str = "") -> State | list[str] | None:
        """The state, or None as for `find`, or the paths that there are where there is none such."""
        if path in workflow.states:
            return workflow.states[path]
        known = [prefix + name for name in workflow.states]
        for name in _heads(workflow, path):
            children = self.children(workflow, workflow.states[name])
            for child in children.workflows:
                found = self._find(child, path[len(name) + 1 :], f"{prefix}{name}/")
                if not isinstance(found, list):
                    return found
                known = found
            if children.is_open:
                return None
        return known

    def children(self, workflow: Workflow, state: State) -> Children:
        """What a state of one of the workflows can run."""
        key = (id(workflow), state.name)
        if key not in self._children:
            self._children[key] = self._read_children(workflow, state)
        return self._children[key]

    def _read_children(self, workflow: Workflow, state: State) -> Children:
        found: list[Workflow] = []
        is_open = False
        for action in state.actions:
            if isinstance(action, RunWorkflow):
                try:
                    if action.name.is_literal:
                        found.append(self.library.child(workflow, action.name.text({})))
                        continue
                except SamovarError:
                    pass
                is_open = True
        return Children(workflows=tuple(found), is_open=is_open)

    def owner(self, path: str) -> tuple[Workflow, str] | None:
        """The workflow that a state is in, and its name there; None where only the run knows that."""
        return self._owner(self.workflow, path)

    def _owner(self, workflow: Workflow, path: str) -> tuple[Workflow, str] | None:
        if path in workflow.states:
            return workflow, path
        for name in _heads(workflow, path):
            for child in self.children(workflow, workflow.states[name]).workflows:
                if found := self._owner(child, path[len(name) + 1 :]):
                    return found
        return None

    def workflows(self) -> tuple[Workflow, ...]:
        """The workflow and those it runs, as far as that is written, each once."""
        found = {id(self.workflow): self.workflow}
        waiting = [self.workflow]
        while waiting:
            one = waiting.pop()
            for state in one.states.values():
                for child in self.children(one, state).workflows:
                    if id(child) not in found:
                        found[id(child)] = child
                        waiting.append(child)
        return tuple(found.values())

    def in_order(self, paths: Sequence[str]) -> list[str]:
        """Visits by path as they are compared: of branches that run at once, one after the other.

        The visits of a fork's branches between the fork and its join are put into the order of the branches
        in the file; the order within each branch stays. So it is in sub-workflows.
        """
        return self._in_order(self.workflow, list(paths))

    def _in_order(self, workflow: Workflow, paths: list[str]) -> list[str]:
        heads = [next(iter(_heads(workflow, path)), "") for path in paths]
        order = list(range(len(paths)))
        for fork in sorted(
            workflow.forks.values(), key=lambda one: -sum(len(b.states) for b in one.branches)
        ):
            number = {name: at for at, branch in enumerate(fork.branches) for name in branch.states}
            order = [
                index
                for is_inside, run in _runs([(heads[index] in number, index) for index in order])
                for index in (sorted(run, key=lambda index: number[heads[index]]) if is_inside else run)
            ]
        return list(self._with_children(workflow, [(heads[index], paths[index]) for index in order]))

    def _with_children(self, workflow: Workflow, visits: Sequence[tuple[str, str]]) -> Iterator[str]:
        """The paths, those below each state ordered as its sub-workflow says. `visits`: first name, path."""
        for below, run in _runs([("" if head == path else head, path) for head, path in visits]):
            children = self.children(workflow, workflow.states[below]).workflows if below else ()
            if len(children) == 1:
                inside = self._in_order(children[0], [path[len(below) + 1 :] for path in run])
                yield from (f"{below}/{path}" for path in inside)
            else:
                yield from run


def _heads(workflow: Workflow, path: str) -> Iterator[str]:
    """The names of states that a path can begin with, the longest first; a name may hold a slash."""
    end = len(path)
    while end > 0:
        if path[:end] in workflow.states:
            yield path[:end]
        end = path.rfind("/", 0, end)


def _runs(pairs: Sequence[tuple[K, V]]) -> Iterator[tuple[K, list[V]]]:
    """Neighbours of equal key together."""
    for key, run in groupby(pairs, key=lambda pair: pair[0]):
        yield key, [value for _, value in run]
