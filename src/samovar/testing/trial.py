"""Runs one case of a workflow on the scripted engine, and finds what is wrong with cases before that.

Above: the command line. Below: the runner, the stage, and the app, which opens the engine. No command is run,
no time passes, and no model is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from samovar.actions.workflow import RunWorkflow
from samovar.app import open_scripted
from samovar.errors import Fault, NotFoundError, Place, UsageError, nearest
from samovar.language.names import surroundings_of
from samovar.language.parameters import as_written
from samovar.language.workflow import ParsedAction
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.runner import Runner, RunnerSettings
from samovar.testing.cases import ANSWER_KEYS, SHELL_KEYS, Case, CaseFile, Told
from samovar.testing.comparing import Came, Difference, compare
from samovar.testing.coverage import Seen
from samovar.testing.paths import Tree
from samovar.testing.stage import Stage, StoppedError


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of a case."""

    case: Case
    duration_s: float
    differences: tuple[Difference, ...]
    """None of them: it passed."""
    warnings: tuple[Fault, ...]
    seen: Seen

    @property
    def passed(self) -> bool:
        return not self.differences


# Running a case.


async def run_case(case: Case, tree: Tree, library: Library, *, lenient: bool = False) -> CaseResult:
    """Runs a case of the tree's workflow and compares. `lenient` is as for the runner."""
    stage = Stage(case)
    began_s = time.perf_counter()
    with TemporaryDirectory(prefix="samovar-test-") as folder:
        async with open_scripted(stage.script) as executor:
            stage.executor = executor
            settings = RunnerSettings(
                environment={},
                folder=Path(folder),
                surroundings=surroundings_of(folder, ()),
                outside=stage,
                lenient=lenient,
                trusts=True,  # nothing is done that has an effect
                transitions=case.transitions,
            )
            runner = Runner(library, stage, on_event=stage, settings=settings)
            differences = await _differences(runner, stage, tree, library)
    return CaseResult(
        case=case,
        duration_s=time.perf_counter() - began_s,
        differences=differences,
        warnings=() if differences else tuple(stage.unused()),
        seen=Seen(states=frozenset(stage.states), transitions=frozenset(stage.transitions)),
    )


async def _differences(runner: Runner, stage: Stage, tree: Tree, library: Library) -> tuple[Difference, ...]:
    case = stage.case
    texts = as_written(case.variables, tree.workflow.parameters, lambda *steps: case.sources.get(steps))
    given = {**_stand_ins(tree), **texts}
    settings = runner.settings.settings
    try:
        prepared = prepare(tree.workflow, given, library, settings, runner.settings, needs_models=False)
        run = await runner.run(prepared)
    except StoppedError as stopped:
        return (stopped.difference,)
    except UsageError as error:
        return (Difference(what="input", message=f"The variables of the case: {error.message}"),)
    came = Came(run=run, sent=stage.sent, log=stage.log)
    return tuple(compare(stage.case.expected, came, tree))


def _stand_ins(tree: Tree) -> Mapping[str, object]:
    """Values of secret parameters, which no case needs to hold."""
    values: dict[str, object] = {}
    for one in tree.workflow.parameters:
        if one.secret:
            by_type: dict[str, object] = {"boolean": False, "number": one.min or 0, "multi_choice": []}
            values[one.name] = one.choices[0] if one.type == "choice" else by_type.get(one.type, "***")
    return values


# What is wrong with cases.


def check_cases(file: CaseFile, tree: Tree) -> tuple[Fault, ...]:
    """What is told for states that there are not, or that do no such thing."""
    found: list[Fault] = []
    for case in file.cases:
        for path, told in case.answers.items():
            found += _misplaced(tree, path, told, _asks, "asks no prompt")
        for path, result in case.shell.items():
            found += _misplaced(tree, path, result, _runs, "runs no command")
        for path, wait in case.waits.items():
            found += _misplaced(tree, path, wait, _waits, "does not wait")
        for path, text in case.expected.prompts.items():
            found += _misplaced(tree, path, text, _asks, "asks no prompt")
        for path, place in zip(case.expected.path or (), case.expected.path_places, strict=False):
            found += _unknown(tree, path, place)
    return tuple(found)


def _unknown(tree: Tree, path: str, place: Place) -> Iterator[Fault]:
    try:
        tree.find(path)
    except NotFoundError as error:
        above, _, key = path.rpartition("/")
        if key and above and not _runs_workflows(tree, above):
            hint = nearest(key[:100], {*ANSWER_KEYS, *SHELL_KEYS})
            message = f"There is no {key!r} in what is told for {above!r}.{hint}"
            yield Fault(code="unknown-key", message=message, place=place)
        else:
            yield Fault(code="unknown-state", message=error.message, place=place)


def _runs_workflows(tree: Tree, path: str) -> bool:
    """Whether it is a state that runs a workflow, or none at all."""
    try:
        state = tree.find(path)
    except NotFoundError:
        return True
    return state is None or any(isinstance(action, RunWorkflow) for action in state.actions)


def _asks(action: ParsedAction) -> bool:
    return action.asks_prompt


def _runs(action: ParsedAction) -> bool:
    return action.runs_command


def _waits(action: ParsedAction) -> bool:
    return action.verb == "wait"


def _misplaced(
    tree: Tree, path: str, told: Told[object], does: Callable[[ParsedAction], bool], otherwise: str
) -> Iterator[Fault]:
    yield from _unknown(tree, path, told.place)
    try:
        state = tree.find(path)
    except NotFoundError:
        return
    if state is not None and not any(map(does, state.actions)):
        yield Fault(code="misplaced", message=f"The state {path!r} {otherwise}.", place=told.place)
