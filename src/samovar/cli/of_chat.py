"""The command `samovar chat`, with what it takes.

Above: `__init__.py`, which has the other commands. Below: `chatting.py`, imported when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from samovar.cli.commands import QuickCommand, app, leave
from samovar.cli.options import NOT_GIVEN, Executor, GivenSettings, Model, with_settings

System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="What the model is told to be.")]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", metavar="N", min=1, help="At most so many tokens for an answer.")
]
Temperature = Annotated[
    float,
    typer.Option(
        "--temperature", metavar="T", min=0, max=2, help="0 picks the likeliest token; 1 samples as trained."
    ),
]
Tools = Annotated[
    str,
    typer.Option("--tools", metavar="NAMES", help='What the model may call, as in "files.read, git.*".'),
]
ToolsYes = Annotated[bool, typer.Option("--yes", "-y", help="Allow whatever a tool would ask for.")]
ToolsAnswer = Annotated[
    list[str] | None,
    typer.Option("--answer", metavar="chat=VALUE", help="Answer a question about a tool. Repeatable."),
]
NoHistory = Annotated[
    bool, typer.Option("--no-history", help="Keep nothing of what is typed for later conversations.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="A line of JSON for each answer.")]


@app.command(cls=QuickCommand)
@with_settings()
def chat(
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What is said first; - is all of standard input."),
    ] = None,
    model: Model = None,
    executor: Executor = None,
    system: System = None,
    tools: Tools = "none",
    yes: ToolsYes = False,
    answer: ToolsAnswer = None,
    max_tokens: MaxTokens = 1024,
    temperature: Temperature = 0.0,
    no_history: NoHistory = False,
    settings: GivenSettings = NOT_GIVEN,
    json: JsonLines = False,
) -> None:
    """Talk with a model: at a terminal with forks, files and commands (/help), or for a script.

    Without a terminal TEXT alone is answered; without TEXT each line of standard input is, one after the
    other, and lines that begin with / are commands. Ctrl-C stops an answer, Ctrl-D ends the conversation.
    """
    from samovar.cli.chatting import ChatArguments, chat

    leave(
        chat(
            ChatArguments(
                text=text,
                settings=settings,
                model=model,
                executor=executor,
                system=system,
                tools=tools,
                yes=yes,
                answers=tuple(answer or ()),
                max_tokens=max_tokens,
                temperature=temperature,
                keeps_history=not no_history,
                as_json=json,
            )
        )
    )
