"""Where a run is kept while it is in progress, and what of it a later process needs to continue it.

Above: the runner, the doors. Below: the journal's contract.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from samovar.errors import JournalError
from samovar.events import RunStarted
from samovar.folders import current_folder
from samovar.journal.base import Journal, KeptEnd, KeptRun, RunHead, RunOrigin
from samovar.journal.outlined import outlined_head
from samovar.journal.row_key import RowKey
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.foreseeing import Foresight
from samovar.running.prepared import Prepared
from samovar.running.references import References
from samovar.running.run import Run
from samovar.running.uncertain import Decisions
from samovar.running.unkept import BestEffort
from samovar.values import plain

FROM_PROGRAM = "from_program"
"""The option of a run that another program has begun, which may ask later for what it gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How a run is kept."""

    journal: Journal
    goes_on: RunHead | None = None
    """The run that continues; None: a new one begins."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the door was reported, for a later process."""
    uncertain: Decisions = field(default_factory=Decisions)
    """What becomes of visits that were interrupted and may not simply be done again."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digests of the files of the workflow and of all it runs, by their whole paths."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The texts of these files."""
    folder: Path = field(default_factory=Path.cwd)
    """Where the run was started."""
    row: RowKey | None = None
    """The row of a file that the run is for; None: it is for none."""
    given: tuple[str, ...] | None = None
    """The variables that somebody gave; None: that is not known."""
    origin: RunOrigin | None = None
    """Where a new run takes outcomes from."""
    is_outline: bool = False
    """Only the outline of the run is kept."""
    foresight: Foresight | None = None
    """The run is not kept and performs nothing: this gets how far it comes."""
    lose: Callable[[JournalError], None] | None = None
    """Told once, with the reason, if the run cannot be kept (any more), and goes on all the same. None: it
    fails then."""
    resident_bytes: Callable[[], int | None] = lambda: None
    """How much memory this process takes; None: not measured."""


def sources(workflow: Workflow, library: Library) -> Mapping[str, str]:
    """The texts of the files of a workflow and of all it runs, as they were read, by their whole paths."""
    return {
        str(current_folder() / one.path): one.source for one in library.tree(workflow) if one.path is not None
    }


def digests(workflow: Workflow, library: Library) -> Mapping[str, str]:
    """The digests of these texts, by which a change is seen."""
    return {
        str(current_folder() / one.path): one.digest for one in library.tree(workflow) if one.path is not None
    }


@asynccontextmanager
async def kept_run(
    keeping: Keeping | None, started: RunStarted, prepared: Prepared
) -> AsyncIterator[KeptRun | None]:
    """The run in its journal, from its start to its end; None if it is not kept. Raises `JournalError`."""
    if keeping is None:
        yield None
        return
    if keeping.goes_on is not None:
        async with keeping.journal.reopen(keeping.goes_on.id) as run:
            yield run
        return
    head = RunHead(
        id=started.run,
        workflow=started.workflow,
        path=None if started.path is None else started.path.absolute(),
        folder=str(keeping.folder),
        started_at=started.started_at,
        digests=keeping.digests,
        sources=keeping.sources,
        variables={name: one for name, one in prepared.variables.items() if name not in started.secrets},
        secrets=tuple(name for name in started.secrets if prepared.variables.get(name) is not None),
        options=keeping.options,
        row=keeping.row,
        given=keeping.given,
        origin=keeping.origin,
    )
    if keeping.foresight is not None:
        yield keeping.foresight.begin(head)
        return
    if keeping.is_outline:
        head = outlined_head(head)
    async with AsyncExitStack() as stack:
        try:
            proofs = {name: keeping.journal.proof(name, prepared.variables[name]) for name in head.secrets}
            begin = keeping.journal.begin(replace(head, proofs=proofs))
            begun = await stack.enter_async_context(begin)
        except JournalError as error:
            if keeping.lose is None:
                raise
            keeping.lose(error)
            yield None
            return
        yield begun if keeping.lose is None else BestEffort(begun, keeping.lose)


def kept_end(journal: KeptRun, run: Run, variables: Mapping[str, object], references: References) -> KeptEnd:
    """What is kept of a run that ends; of a row, or for a program, also what it gives if it completes."""
    end = references.conceal(KeptEnd(variables=variables, is_concealed=not references.is_empty))
    is_asked_for = journal.head.row is not None or journal.head.options.get(FROM_PROGRAM) is True
    return replace(end, result=_result(run, variables)) if is_asked_for else end


def _result(run: Run, variables: Mapping[str, object]) -> str:
    value = run.hidden.copy_value(plain(run.result_of(variables)))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
