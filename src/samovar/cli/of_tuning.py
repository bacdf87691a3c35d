"""The command `samovar tune`, with its arguments.

Above: `__init__.py`, which has the other commands. Below: `tuning.py`, imported when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, GivenSettings, Json, with_settings

ConvertTo = Annotated[
    str | None,
    typer.Option(
        "--convert",
        metavar="FORMAT",
        help="Make a copy of the model in this format, such as q8_0 or q4_0, and show its cost in quality.",
    ),
]
Short = Annotated[bool, typer.Option("--quick", help="Shorter prompts and fewer rounds.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the choice even if the machine was busy.")]
Forget = Annotated[
    bool,
    typer.Option(
        "--forget",
        help="Use the built-in table again; measures nothing. Only --kv-type and --json can be added.",
    ),
]


@app.command(cls=QuickCommand)
@with_settings("kv_type")
def tune(
    reference: Annotated[str, typer.Argument(metavar="REF", help="A model on this machine.")],
    convert: ConvertTo = None,
    quick: Short = False,
    keep: Keep = False,
    forget: Forget = False,
    settings: GivenSettings = NOT_GIVEN,
    json: Json = False,
) -> None:
    """Measure which settings are fastest for a model on this machine, and load it with them from now on.

    Run it while the machine is idle. The settings can change the last bits of a model's
    results; with --deterministic the built-in table is used instead. The model is loaded as
    in a run: the settings threads, gpu_layers, devices, split_mode, tensor_split and main_gpu apply.

    Exit: 0 kept, 1 the machine was too busy to keep anything, 2 usage, 130 cancelled.
    """
    from samovar.cli.tuning import TuneArguments, tune_model

    leave(
        tune_model(
            TuneArguments(
                model=reference,
                settings=settings,
                convert=convert,
                forget=forget,
                quick=quick,
                keep=keep,
                as_json=json,
            )
        )
    )
