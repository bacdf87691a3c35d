"""Runs one case of a workflow on the scripted engine, and compares the outcome.

Above: the command line. Below: the runner, the stage, and the app, which opens the engine. No command is run,
no model is read, and the only time that passes is the case's own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from samovar.app import open_scripted
from samovar.config import DeclaredExecutor, Settings
from samovar.errors import UsageError
from samovar.executors.table import KINDS, LOCAL, names_of
from samovar.language.names import surroundings_of
from samovar.language.written_values import as_written
from samovar.library import Library
from samovar.preflight.asked import asked
from samovar.preflight.prepare import prepare
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.testing.cases import Case
from samovar.testing.comparing import Came, compare
from samovar.testing.coverage import Seen, seen_of
from samovar.testing.difference import Difference
from samovar.testing.paths import Tree
from samovar.testing.stage import Stage, StoppedError
from samovar.values.secrecy import HIDDEN


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of a case."""

    case: Case
    duration_s: float
    differences: tuple[Difference, ...]
    """None of them: it passed."""
    seen: Mapping[object, Seen]
    """By the identity of each workflow that was run, as far as it is known which."""

    @property
    def passed(self) -> bool:
        return not self.differences


async def run_case(case: Case, tree: Tree, library: Library, *, lenient: bool = False) -> CaseResult:
    """Runs a case of the tree's workflow and compares. `lenient` is as for the runner."""
    began_s = time.perf_counter()
    with TemporaryDirectory(prefix="samovar-test-") as folder:
        stage = Stage(case, tree, Path(folder))
        async with open_scripted(stage.script) as executor:
            stage.executor = executor
            settings = RunnerSettings(
                environment={},
                settings=Settings(executors=_stand_in_executors(tree, library)),
                folder=Path(folder),
                surroundings=surroundings_of(folder, ()),
                outside=stage,
                lenient=lenient,
                trusts=True,  # nothing is done that has an effect
                transitions=case.transitions,
                duration_s=case.duration_s,
            )
            runner = Runner(library, stage, on_event=stage, settings=settings)
            differences = await _differences(runner, stage, tree, library)
    return CaseResult(
        case=case,
        duration_s=time.perf_counter() - began_s,
        differences=differences,
        seen=seen_of(stage.entered, stage.taken, tree),
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
        record = runner.record
        return (stopped.difference if record is None else _without_secrets(stopped.difference, record),)
    except UsageError as error:
        return (Difference(what="input", message=f"The variables of the case: {error.message}"),)
    came = Came(
        run=run,
        sent=stage.sent,
        ran=stage.ran,
        files=stage.files.held,
        log=stage.log,
        warnings=stage.warnings,
    )
    found = (*compare(stage.case.expected, came, tree), *stage.unused())
    return tuple(_without_secrets(one, run) for one in found)


def _without_secrets(difference: Difference, run: Run) -> Difference:
    if difference.what == "variable" and difference.name in run.secrets:
        return replace(difference, expected=run.hidden.copy(difference.expected), got=HIDDEN)
    return run.hidden.copy(difference)


def _stand_in_executors(tree: Tree, library: Library) -> tuple[DeclaredExecutor, ...]:
    """The case answers in place of those that somebody's settings declare, whatever they can."""
    prompts = asked(tree.workflow, library, RunnerSettings(), ready=True)
    texts = [text for one in prompts if (text := one.executor(Settings())) is not None]
    texts += [one.executor.text for one in library.tree(tree.workflow) if one.executor is not None]
    names = dict.fromkeys(name for text in texts for name in names_of(text) if name not in KINDS)
    return tuple(DeclaredExecutor(name=name, kind=LOCAL) for name in names)


def _stand_ins(tree: Tree) -> Mapping[str, object]:
    """Values of secret parameters, which no case needs to hold."""
    values: dict[str, object] = {}
    for one in tree.workflow.parameters:
        if one.secret:
            by_type: dict[str, object] = {
                "boolean": False,
                "number": one.min or 0,
                "multi_choice": [],
                "list": [],
                "map": {},
            }
            values[one.name] = one.choices[0] if one.type == "choice" else by_type.get(one.type, "***")
    return values
