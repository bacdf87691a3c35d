"""Options shared by several commands, options with long texts, and the options made from settings.

Above: the commands of `__init__.py`. Below: `completion.py`, and the settings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from samovar.cli.completion import complete_variable, complete_workflow
from samovar.config import Settings
from samovar.generation import MOST_SEED
from samovar.setting import Setting

Workflow = Annotated[
    str,
    typer.Argument(
        metavar="FILE|NAME",
        help="A workflow's file, or its name in the library.",
        autocompletion=complete_workflow,
    ),
]
RunGiven = Annotated[str, typer.Argument(metavar="RUN", help="The run's id; a part of it is enough.")]
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
Events = Annotated[
    bool, typer.Option("--events", help="Write events to standard output as JSON lines while they happen.")
]
Print = Annotated[
    str | None,
    typer.Option("--print", metavar="VAR", help="Only this variable on standard output, at the end."),
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
        "--model",
        "-m",
        metavar="REF",
        help="The model of every prompt: a path, package:…, hf:…, ollama:…, lmstudio:… or a name.",
    ),
]
Executor = Annotated[
    str | None,
    typer.Option(
        "--executor", metavar="NAME", help="The executor of every prompt, overriding the prompts' own."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        max=MOST_SEED,
        help="Derive the seed of each prompt without one from this number.",
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option("--deterministic", help="The same answers each time, but slower."),
]
LimitTransitions = Annotated[
    int | None,
    typer.Option("--limit-transitions", metavar="N", min=1, help="Stop the run after this many transitions."),
]
LimitDuration = Annotated[
    str | None,
    typer.Option("--limit-duration", metavar="TIME", help="Stop the run after this time, as in 90s or 1h."),
]
Record = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Add the run to this file as a case for `samovar test`."),
]
Each = Annotated[
    str | None,
    typer.Option(
        "--each",
        metavar="FILE",
        help="Run once for each row of a .jsonl or .csv file, or for each file of a pattern in quotes.",
    ),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--at-once", metavar="N", min=1, max=256, help="With --each: rows that are worked on together."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="With --each: add the results to this file, as JSON lines."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="With --each: run the rows again that failed before.")
]
Lenient = Annotated[
    bool, typer.Option("--lenient", help="Report text that is not an action as a warning, not an error.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Write one JSON object, and nothing else, to standard output.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only errors: no live lines, no report.")]
QuietRun = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Show only errors: no live lines, no report, and no result unless --print asks for one.",
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Show whole answers and debug logs; -vv also shows the engine's log.",
    ),
]

# For one command only -------------------------------------------------------------------------------

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Say yes when the workflow waits for a person.")]
AnswerGiven = Annotated[
    list[str] | None,
    typer.Option("--answer", metavar="STATE=VALUE", help="Answer a question of the workflow. Repeatable."),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Trust the project for this run; see `samovar trust`."),
]
NoEffects = Annotated[
    bool, typer.Option("--no-effects", help="Run no commands and touch no files: only ask prompts.")
]
NoJournal = Annotated[bool, typer.Option("--no-journal", help="Do not keep the run.")]
SureYes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")]
Fix = Annotated[
    bool,
    typer.Option("--fix", help="Fix everything that has one safe fix, such as old spellings; shows a diff."),
]
Diff = Annotated[bool, typer.Option("--diff", help="Show what --fix would change; write nothing.")]
Explain = Annotated[
    str | None, typer.Option("--explain", metavar="CODE", help="Explain a code, and how to fix it.")
]
Only = Annotated[
    str | None,
    typer.Option("-k", metavar="TEXT", help="Only cases with this text in their name or their file's name."),
]
CoverageMin = Annotated[
    float | None,
    typer.Option(
        "--coverage-min",
        metavar="PERCENT",
        min=0,
        max=100,
        help="Fail if the cases cover less than PERCENT of any workflow's states or transitions.",
    ),
]
Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
]
Svg = Annotated[
    str | None, typer.Option("--svg", metavar="FILE", help="Write a picture; - is standard output.")
]
Png = Annotated[
    str | None, typer.Option("--png", metavar="FILE", help="Write a picture; - is standard output.")
]
Mermaid = Annotated[bool, typer.Option("--mermaid", help="The diagram as Mermaid, on standard output.")]
InWorkflow = Annotated[
    str | None,
    typer.Option(
        "--workflow", metavar="FILE", help="The workflow that contains the prompt, or that asks it."
    ),
]
Clear = Annotated[bool, typer.Option("--clear", help="Delete them all.")]

# Settings ----------------------------------------------------------------------------------------------


GivenSettings = Mapping[str, Any]
"""Settings by name, None for those that were not given."""
NOT_GIVEN: GivenSettings = {}


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of these settings, or of all that have one.

    The command has a parameter `settings`, where they are in `--help`; it gets what was given, by name, with
    None for the rest.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        known = {one.name: one for one in fields(Settings) if one.metadata["setting"].option}
        chosen = [known[name] for name in names or known]
        hints = get_type_hints(command, include_extras=True)

        def called(**given: Any) -> None:
            command(
                settings={one.name: _value(one.metadata["setting"], given.pop(one.name)) for one in chosen},
                **given,
            )

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            if parameter.name == "settings":
                parameters += [_option(one.name, one.metadata["setting"], str(one.type)) for one in chosen]
            else:
                parameters.append(parameter.replace(annotation=hints[parameter.name]))
        keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        called.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in keyword}
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        return called

    return decorate


def _value(known: Setting, given: Any) -> Any:
    return given if known.flag is None else known.flag if given else None


def _option(name: str, known: Setting, kind: str) -> inspect.Parameter:
    """The option of a setting. A text is read as the settings read it; None: it was not given."""
    types: dict[str, Any] = {"bool": bool, "int | None": int}
    taken = bool if known.flag else str if known.reads else types.get(kind, str)
    option = typer.Option(known.option, metavar=known.metavar, help=known.help)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[taken | None, option]
    )
