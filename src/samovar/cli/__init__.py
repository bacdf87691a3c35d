"""The command line: each command parses its arguments, calls one function of this folder, and exits.

Above: the person. Below: the other modules of this folder, which are imported only when a command
needs them, so that `--help` answers at once. It decides nothing about workflows or models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from samovar.cli import kept_commands
from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.completion import RunCommand, complete_path, complete_prompt, options_of
from samovar.cli.options import (
    NOT_GIVEN,
    AnswerGiven,
    AtOnce,
    Clear,
    CoverageMin,
    Deterministic,
    Diff,
    DryRun,
    Each,
    Events,
    Executor,
    Explain,
    Fix,
    GivenSettings,
    InWorkflow,
    Json,
    Junit,
    Lenient,
    LimitDuration,
    LimitTransitions,
    Mermaid,
    Model,
    NoEffects,
    NoJournal,
    Only,
    Out,
    Png,
    Print,
    QuietRun,
    Record,
    RetryFailed,
    Seed,
    Strict,
    Svg,
    Trust,
    Var,
    Vars,
    Verbose,
    Workflow,
    Yes,
    with_settings,
)

__all__ = ["app", "kept_commands"]


@app.command(
    cls=RunCommand,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Each parameter of the workflow is an option too: --person-name Ann; "
    "samovar run NAME --help shows them. "
    "Exit: 0 completed, 1 failed, aborted or limited, 2 usage or invalid file, 3 stuck, 4 waiting, "
    "130 cancelled (143 by SIGTERM, 129 by SIGHUP).",
)
@with_settings()
def run(
    context: typer.Context,
    workflow: Workflow,
    var: Var = None,
    vars_: Vars = None,
    model: Model = None,
    executor: Executor = None,
    settings: GivenSettings = NOT_GIVEN,
    json: Json = False,
    events: Events = False,
    print_: Print = None,
    seed: Seed = None,
    deterministic: Deterministic = False,
    limit_transitions: LimitTransitions = None,
    limit_duration: LimitDuration = None,
    yes: Yes = False,
    answer: AnswerGiven = None,
    trust: Trust = False,
    no_effects: NoEffects = False,
    lenient: Lenient = False,
    no_journal: NoJournal = False,
    record: Record = None,
    dry_run: DryRun = False,
    each: Each = None,
    at_once: AtOnce = None,
    out: Out = None,
    retry_failed: RetryFailed = False,
    quiet: QuietRun = False,
    verbose: Verbose = 0,
) -> None:
    """Run a workflow: its result on standard output, live lines and a report on standard error.

    The result is the variable `result` if the workflow sets it by name, else the last answer
    of a prompt without choices.
    """
    from samovar.cli.run import run_workflow
    from samovar.cli.run_arguments import RowsArguments, RunArguments

    leave(
        run_workflow(
            RunArguments(
                workflow=workflow,
                variables=tuple(var or ()),
                variable_files=tuple(vars_ or ()),
                switches=tuple(context.args),
                options=options_of(context),
                settings=settings,
                model=model,
                executor=executor,
                seed=seed,
                deterministic=deterministic,
                limit_transitions=limit_transitions,
                limit_duration=limit_duration,
                yes=yes,
                answers=tuple(answer or ()),
                trust=trust,
                no_effects=no_effects,
                lenient=lenient,
                no_journal=no_journal,
                dry_run=dry_run,
                as_json=json,
                as_events=events,
                print_variable=print_,
                record=record,
                rows=RowsArguments(each, at_once, out, retry_failed),
                quiet=quiet,
                verbose=verbose,
            )
        )
    )


@app.command(cls=QuickCommand)
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH…",
            help="Workflow files or folders; by default the project's library.",
            autocompletion=complete_path,
            readable=False,  # `check` says itself what it cannot read, and continues to the others
        ),
    ] = None,
    strict: Strict = False,
    fix: Fix = False,
    diff: Diff = False,
    lenient: Lenient = False,
    code: Explain = None,
    json: Json = False,
) -> None:
    """Report every mistake in workflow files, with file, line and column.

    --fix only changes the text that it fixes, and only if the file means the same afterwards. It does
    not change an unknown key of the front matter, which could be your own.

    Exit status, after fixing: 0 no errors, 1 warnings with --strict, 2 errors.
    """
    from samovar.cli.checking import check_paths, explain

    if code is not None:
        leave(explain(code))
    mending: Any = "shown" if diff else "written" if fix else "none"
    leave(check_paths(paths or [], strict=strict, lenient=lenient, as_json=json, mending=mending))


@app.command(cls=QuickCommand)
def test(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH…",
            help="Workflows, files of cases (*.test.yaml) or folders; by default this folder.",
        ),
    ] = None,
    only: Only = None,
    coverage_min: CoverageMin = None,
    junit: Junit = None,
    lenient: Lenient = False,
    json: Json = False,
) -> None:
    """Run workflows on the cases beside them, without a model and without commands.

    Exit status: 0 all passed, 1 a case failed or coverage is too low, 2 a file has errors.
    """
    from samovar.cli.testing import CasesArguments, run_tests

    leave(
        run_tests(
            CasesArguments(
                paths=tuple(paths or ()),
                only=only,
                coverage_min=coverage_min,
                junit=junit,
                lenient=lenient,
                as_json=json,
            )
        )
    )


@app.command("list", cls=QuickCommand)
def list_(json: Json = False) -> None:
    """List the workflows and prompts that can be run by name here, and the source of each."""
    from samovar.cli.listing import list_library

    leave(list_library(as_json=json))


@app.command(cls=QuickCommand)
def show(
    workflow: Workflow,
    svg: Svg = None,
    png: Png = None,
    mermaid: Mermaid = False,
) -> None:
    """Draw a workflow's diagram: in the terminal with what each state does, or as a picture.

    Pictures need the extra samovar[pictures].
    """
    from samovar.cli.pictures import show_workflow

    leave(show_workflow(workflow, svg=svg, png=png, as_mermaid=mermaid))


@app.command(cls=QuickCommand)
@with_settings("context_tokens", "kv_type")
def prompt(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A prompt of the library, its file, or FILE#NAME in a workflow.",
            autocompletion=complete_prompt,
        ),
    ],
    workflow: InWorkflow = None,
    var: Var = None,
    vars_: Vars = None,
    model: Model = None,
    settings: GivenSettings = NOT_GIVEN,
    json: Json = False,
) -> None:
    """Show a prompt's messages as they would be sent, and whether they fit the context; ask nothing."""
    from samovar.cli.prompt import PromptArguments, show_prompt

    leave(
        show_prompt(
            PromptArguments(
                name=name,
                workflow=workflow,
                variables=tuple(var or ()),
                variable_files=tuple(vars_ or ()),
                model=model,
                settings=settings,
                as_json=json,
            )
        )
    )


@app.command(cls=QuickCommand)
def snapshots(
    clear: Clear = False,
    json: Json = False,
) -> None:
    """Show the evaluated prompts kept on disk for other processes."""
    from samovar.cli.listing import list_snapshots

    leave(list_snapshots(clear=clear, as_json=json))


@app.command(cls=QuickCommand)
def new(
    path: Annotated[Path, typer.Argument(metavar="FILE.md", help="The file to write; it must not exist.")],
) -> None:
    """Write a small workflow to start from."""
    from samovar.cli.new import new_workflow

    leave(new_workflow(path))


from samovar.cli import of_chat, of_driven, of_mcp, of_models, of_runs, of_serve, of_setup, of_trust, of_tuning  # noqa: E402, E501, F401, I001  # fmt: skip  # in `--help`, their commands come after these
