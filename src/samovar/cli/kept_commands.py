"""The commands for runs that are kept: `samovar resume`, `samovar answer` and those that begin another run.

Above: `__init__.py`, which has the others. Below: the modules of this folder, imported when they are needed.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import (
    NOT_GIVEN,
    AnswerGiven,
    Events,
    GivenSettings,
    Json,
    QuietRun,
    RunGiven,
    Trust,
    Var,
    Verbose,
    Yes,
    with_settings,
)

Redo = Annotated[bool, typer.Option("--redo", help="Perform the interrupted action again.")]
Skip = Annotated[bool, typer.Option("--skip", help="Continue as if it was done.")]
Fail = Annotated[bool, typer.Option("--fail", help="Continue as if it failed.")]
Cancelled = Annotated[
    bool, typer.Option("--cancelled", help="Also continue a run that `samovar runs cancel` has ended.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show what would be taken and what performed, and why; perform nothing."),
]
ChangedSecrets = Annotated[
    bool, typer.Option("--changed-secrets", help="Accept secrets other than those the run began with.")
]


@app.command(
    cls=QuickCommand,
    epilog="Finished states are not performed again. An interrupted prompt, wait or question is performed "
    "again; for "
    "a command, decide with --redo, --skip or --fail.",
)
@with_settings()
def resume(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Part of the run's id; by default the newest run.")
    ] = None,
    var: Var = None,
    settings: GivenSettings = NOT_GIVEN,
    redo: Redo = False,
    skip: Skip = False,
    fail: Fail = False,
    cancelled: Cancelled = False,
    changed_secrets: ChangedSecrets = False,
    json: Json = False,
    events: Events = False,
    yes: Yes = False,
    answer: AnswerGiven = None,
    trust: Trust = False,
    quiet: QuietRun = False,
    verbose: Verbose = 0,
) -> None:
    """Go on with a run that was interrupted, from the journal. `samovar runs` lists them."""
    from samovar.cli.resuming import ResumeArguments, decision_of, resume_run

    leave(
        resume_run(
            ResumeArguments(
                run=run,
                variables=tuple(var or ()),
                settings=settings,
                decision=decision_of(redo=redo, skip=skip, fail=fail),
                yes=yes,
                answers=tuple(answer or ()),
                trust=trust,
                as_json=json,
                as_events=events,
                quiet=quiet,
                verbose=verbose,
                cancelled=cancelled,
                changed_secrets=changed_secrets,
            )
        )
    )


@app.command(
    cls=QuickCommand,
    epilog="Exit: as `samovar resume`, which it continues the run as; 0 if another process drives the run.",
)
@with_settings()
def answer(
    run: RunGiven,
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="The answer; by default it is asked for. - is standard input."),
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="PATH", help="The state that asks, if several do.")
    ] = None,
    question: Annotated[
        int | None,
        typer.Option(
            "--question", metavar="N", min=1, help="The question: `samovar runs --waiting` says it."
        ),
    ] = None,
    var: Var = None,
    settings: GivenSettings = NOT_GIVEN,
    redo: Redo = False,
    skip: Skip = False,
    fail: Fail = False,
    changed_secrets: ChangedSecrets = False,
    json: Json = False,
    events: Events = False,
    trust: Trust = False,
    quiet: QuietRun = False,
    verbose: Verbose = 0,
) -> None:
    """Answer a question of a run that waits for a person, and continue the run.

    `samovar runs --waiting` lists the questions. A VALUE needs --question N, or --state PATH, if the run has
    asked more than one question so far: so a command that is repeated answers nothing else.
    """
    from samovar.cli.answering import Answering, answer_run
    from samovar.cli.resuming import ResumeArguments, decision_of

    arguments = ResumeArguments(
        run=run,
        variables=tuple(var or ()),
        settings=settings,
        decision=decision_of(redo=redo, skip=skip, fail=fail),
        yes=False,
        answers=(),
        trust=trust,
        as_json=json,
        as_events=events,
        quiet=quiet,
        verbose=verbose,
        changed_secrets=changed_secrets,
    )
    leave(answer_run(arguments, Answering(value=value, state=state, number=question)))


@app.command(
    cls=QuickCommand,
    epilog="The earlier run stays as it is. What does not come after the visit is taken from it: nothing of "
    "that is done again, and other branches of a fork and other items that are worked on at the same time "
    "are kept. People are asked again after it.",
)
@with_settings()
def branch(
    run: RunGiven,
    state: Annotated[
        str,
        typer.Option(
            "--from", metavar="STATE", help="The first state that is done again: its path, as in Build/Check."
        ),
    ],
    visit: Annotated[
        int | None,
        typer.Option("--visit", metavar="N", help="Which visit of that state; by default the last one."),
    ] = None,
    var: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="K=V", help="A variable that has this value from there on."),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="NAME=FILE", help="The text of a prompt, in place of its own."),
    ] = None,
    settings: GivenSettings = NOT_GIVEN,
    redo: Redo = False,
    skip: Skip = False,
    fail: Fail = False,
    dry_run: DryRun = False,
    json: Json = False,
    events: Events = False,
    yes: Yes = False,
    answer: AnswerGiven = None,
    trust: Trust = False,
    quiet: QuietRun = False,
    verbose: Verbose = 0,
) -> None:
    """Start a new run in the middle of an earlier one, with other prompts or values."""
    from samovar.cli.again import BranchPoint, branch_run
    from samovar.cli.resuming import ResumeArguments, decision_of

    point = BranchPoint(state=state, visit=visit, prompts=tuple(prompt or ()))
    arguments = ResumeArguments(
        run=run,
        variables=tuple(var or ()),
        settings=settings,
        decision=decision_of(redo=redo, skip=skip, fail=fail),
        yes=yes,
        answers=tuple(answer or ()),
        trust=trust,
        as_json=json,
        as_events=events,
        quiet=quiet,
        verbose=verbose,
        dry_run=dry_run,
    )
    leave(branch_run(arguments, point))


@app.command(
    cls=QuickCommand,
    epilog="The earlier run stays as it is. A prompt, a command, a question or a file that is written is "
    "taken from it if nothing that it depends on has changed; files are read again.",
)
@with_settings()
def rerun(
    run: RunGiven,
    var: Var = None,
    settings: GivenSettings = NOT_GIVEN,
    redo: Redo = False,
    dry_run: DryRun = False,
    json: Json = False,
    events: Events = False,
    yes: Yes = False,
    answer: AnswerGiven = None,
    trust: Trust = False,
    quiet: QuietRun = False,
    verbose: Verbose = 0,
) -> None:
    """Run a workflow again as it is now; what has not changed is taken from an earlier run."""
    from samovar.cli.again import rerun_run
    from samovar.cli.resuming import ResumeArguments

    arguments = ResumeArguments(
        run=run,
        variables=tuple(var or ()),
        settings=settings,
        decision="redo" if redo else None,
        yes=yes,
        answers=tuple(answer or ()),
        trust=trust,
        as_json=json,
        as_events=events,
        quiet=quiet,
        verbose=verbose,
        dry_run=dry_run,
    )
    leave(rerun_run(arguments))
