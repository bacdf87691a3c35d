"""Options that several commands have, or that need many words.

Above: the commands of `__init__.py`. Below: `completion.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from samovar.cli.completion import complete_variable, complete_workflow

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
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show the prompts, their tokens and the memory; generate and run nothing."
    ),
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
LimitTransitions = Annotated[
    int | None, typer.Option("--limit-transitions", metavar="N", min=1, help="At most so many transitions.")
]
LimitDuration = Annotated[
    str | None, typer.Option("--limit-duration", metavar="TIME", help="At most so long, as in 90s or 1h.")
]
Offline = Annotated[bool | None, typer.Option("--offline", help="Never fetch a model.")]
Record = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Add the run as a case to this file, for `samovar test`."),
]
Lenient = Annotated[
    bool, typer.Option("--lenient", help="Text that is no action is a warning, not an error.")
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output, and nothing else there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No live lines and no report; errors only.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, help="Whole answers, and debug logs; -vv also the engine's log."
    ),
]
