"""States by path, in a workflow and its sub-workflows: `Reply/Draft` is the state Draft of Reply's workflow.

Above: the tests of workflows. Below: `item_paths.py`, the library, and what checking knows of actions. What
is done for the items of a list has their numbers in its path, `Each[3]/Write`; without numbers it is for
every item. Nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeVar

from samovar.actions.workflow import RunWorkflow
from samovar.errors import NotFoundError, SamovarError
from samovar.language.item_paths import without_number
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


class PathHead(NamedTuple):
    """What a path begins with."""

    name: str
    """Name of the state."""
    number: int | None
    """Number of the item, from 0; None if no item is named."""
    rest: str
    """The path below it; empty if there is none."""


class Tree:
    """A workflow and all that it runs, looked up as far as asked for.

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

    def _find(
        self, workflow: Workflow, path: str, prefix: str = "", body: str | None = None
    ) -> State | list[str] | None:
        """The state, or None as for `find`, or the paths that there are if there is none such."""
        known = list(_names(workflow, body))
        found: State | list[str] | None = [prefix + name for name in _paths(workflow, body)]
        for head in _heads(workflow, path):
            if head.name not in known:
                continue
            if not head.rest:
                return workflow.states[head.name]
            inner = self._below(workflow, head, prefix)
            if not isinstance(inner, list):
                return inner
            found = inner or found
        return found

    def _below(self, workflow: Workflow, head: PathHead, prefix: str) -> State | list[str] | None:
        above = f"{prefix}{head.name}/"
        if head.name in workflow.bodies:
            return self._find(workflow, head.rest, above, head.name)
        children = self.children(workflow, workflow.states[head.name])
        known: list[str] = []
        for child in children.workflows:
            found = self._find(child, head.rest, above)
            if not isinstance(found, list):
                return found
            known = found
        return None if children.is_open else known

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
        """The workflow that a state is in, and its name there; None if only the run knows that."""
        return self._owner(self.workflow, path)

    def _owner(self, workflow: Workflow, path: str) -> tuple[Workflow, str] | None:
        for head in _heads(workflow, path):
            if not head.rest:
                return workflow, head.name
            inside = [workflow] if head.name in workflow.bodies else []
            for one in (*inside, *self.children(workflow, workflow.states[head.name]).workflows):
                if found := self._owner(one, head.rest):
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
        in the file, and those of the items of a list into the order of the list; the order within each branch
        and each item stays. So it is in sub-workflows.
        """
        return self._in_order(self.workflow, list(paths))

    def _in_order(self, workflow: Workflow, paths: list[str]) -> list[str]:
        heads = [next(_heads(workflow, path), PathHead("", None, "")) for path in paths]
        order = list(range(len(paths)))
        for fork in sorted(
            workflow.forks.values(), key=lambda one: -sum(len(b.states) for b in one.branches)
        ):
            number = {name: at for at, branch in enumerate(fork.branches) for name in branch.states}
            order = [
                index
                for is_inside, run in _runs([(heads[index].name in number, index) for index in order])
                for index in (sorted(run, key=lambda index: number[heads[index].name]) if is_inside else run)
            ]
        return list(self._with_children(workflow, [(heads[index], paths[index]) for index in order]))

    def _with_children(self, workflow: Workflow, visits: Sequence[tuple[PathHead, str]]) -> Iterator[str]:
        """The paths, those below each state ordered as its sub-workflow says, and items by their numbers."""
        below = [(head.name if head.rest or head.number is not None else "", head) for head, _ in visits]
        paths = iter(path for _, path in visits)
        for name, heads in _runs(below):
            run = [(head, next(paths)) for head in heads]
            if not name:
                yield from (path for _, path in run)
                continue
            for number, item in _runs(
                sorted(((head.number, (head, path)) for head, path in run), key=lambda one: one[0] or 0)
            ):
                yield from (path for head, path in item if not head.rest)
                rest = [head.rest for head, _ in item if head.rest]
                above = f"{name}/" if number is None else f"{name}[{number}]/"
                yield from (above + path for path in self._inside(workflow, name, rest))

    def _inside(self, workflow: Workflow, name: str, paths: list[str]) -> list[str]:
        """The paths below a state in their order."""
        if name in workflow.bodies:
            return self._in_order(workflow, paths)
        children = self.children(workflow, workflow.states[name]).workflows
        return self._in_order(children[0], paths) if len(children) == 1 else paths


def _names(workflow: Workflow, body: str | None) -> Iterator[str]:
    """The states that are in a body and in none within it; None: in the workflow and in no body."""
    inside = workflow.bodies[body].states if body is not None else workflow.states.keys()
    deeper = {
        name
        for one, other in workflow.bodies.items()
        if one != body and one in inside
        for name in other.states
    }
    return (name for name in workflow.states if name in inside and name not in deeper)


def _paths(workflow: Workflow, body: str | None) -> Iterator[str]:
    """The same, and what is in bodies by its path."""
    for name in _names(workflow, body):
        yield name
        if name in workflow.bodies:
            yield from (f"{name}/{path}" for path in _paths(workflow, name))


def _heads(workflow: Workflow, path: str) -> Iterator[PathHead]:
    """What a path can begin with, the longest name first; a name may hold a slash."""
    end = len(path)
    while end > 0:
        begin, rest = path[:end], path[end + 1 :]
        name, number = without_number(begin)
        if begin in workflow.states:
            yield PathHead(begin, None, rest)
        elif number is not None and name in workflow.states:
            yield PathHead(name, number, rest)
        end = path.rfind("/", 0, end)


def _runs(pairs: Sequence[tuple[K, V]]) -> Iterator[tuple[K, list[V]]]:
    """Neighbours of equal key together."""
    for key, run in groupby(pairs, key=lambda pair: pair[0]):
        yield key, [value for _, value in run]
