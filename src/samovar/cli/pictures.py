"""`samovar show`: a workflow's diagram in the terminal, as Mermaid, or as a picture in a file.

Above: the commands of `__init__.py`. Below: the library. Pictures are drawn by an extra, `samovar[pictures]`,
which is imported only when one is asked for; it needs no browser and no network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from samovar.app import open_library
from samovar.cli.console import make_console
from samovar.cli.drawable import drawing_of, mermaid_of
from samovar.cli.terminal import put, put_bytes, say
from samovar.errors import UsageError
from samovar.errors.installing import install_command
from samovar.folders import current_folder
from samovar.language.composites import exit_of
from samovar.language.workflow import Workflow

PNG_SCALE = 2
"""Dots of a PNG for each unit of the drawing, so that it is sharp on today's screens."""
PLAIN_TEXT = {"htmlLabels": False, "flowchart": {"htmlLabels": False}, "state": {"htmlLabels": False}}
"""Text as SVG's own, which everything shows; HTML within SVG is for browsers only."""
_DECLARED = re.compile(
    r"(?P<indent>\s*)state\s+(?:\"(?P<text>[^\"]*)\"\s+as\s+)?(?P<name>[^\s{<:\"]+)\s*(?:<<\w+>>|(?P<opens>\{)|;|$)"
)
"""A line that declares a state."""


def show_workflow(reference: str, *, svg: str | None, png: str | None, as_mermaid: bool) -> int:
    """Draws a workflow. `svg`, `png`: the files to write; `-` is standard output."""
    outputs = [
        name
        for name, is_there in (("--svg -", svg == "-"), ("--png -", png == "-"), ("--mermaid", as_mermaid))
        if is_there
    ]
    if len(outputs) > 1:
        raise UsageError(f"{' and '.join(outputs)} cannot be combined: each takes all of standard output.")
    workflow = open_library(current_folder()).workflow(reference)
    if svg is None and png is None and not as_mermaid:
        _show_in_terminal(workflow)
        return 0
    source = mermaid_of(_noted(workflow))
    if as_mermaid:
        put(source)
    if svg is not None:
        _write(svg, lambda: _draw(source, "svg", workflow), "svg")
    if png is not None:
        _write(png, lambda: _draw(source, "png", workflow), "png")
    return 0


def _noted(workflow: Workflow) -> str:
    """The diagram with what it does not show of states: a note at a join, and `finally` behind a name."""
    notes, lines, at_end = _notes(workflow), list[str](), workflow.at_end
    notes.pop(at_end or "", None)
    for line in workflow.diagram.splitlines():
        declared = _DECLARED.match(line)
        name = declared["name"] if declared is not None else ""
        note = notes.pop(name, None)
        if declared is None or (note is None and name != at_end):
            lines.append(line)
        elif note is None:
            lines.append(f'{declared["indent"]}state "{declared["text"] or name} (finally)" as {name}')
            at_end = None
        else:
            said = f"{declared['indent']}note right of {name}: {note}"
            lines += [said, line] if declared["opens"] else [line, said]
    lines += [f"note right of {name}: {note}" for name, note in notes.items()]
    lines += [] if at_end is None else [f'state "{at_end} (finally)" as {at_end}']
    return "\n".join(lines) + "\n"


def _notes(workflow: Workflow) -> dict[str, str]:
    """What a diagram does not show of states, by name: how many branches a join needs, and `finally`."""
    found = {}
    for fork in workflow.forks.values():
        if fork.needed is not None:
            count = "first" if fork.needed.count == 1 else str(fork.needed.count)
            is_composite = fork.join == exit_of(fork.name)
            found[fork.name if is_composite else fork.join] = f"Join {count} of {len(fork.branches)}"
    if workflow.at_end is not None:
        found[workflow.at_end] = "finally"
    return found


# Pictures ----------------------------------------------------------------------------------------------


def _draw(source: str, kind: Literal["svg", "png"], workflow: Workflow) -> bytes:
    try:
        import mermaidx
    except ImportError as error:
        raise UsageError(
            f"--{kind} needs an optional package: {install_command('samovar[pictures]')}. "
            "Without it: samovar show, or samovar show --mermaid."
        ) from error
    drawing: Any
    try:
        drawing = mermaidx.render(source, config=PLAIN_TEXT)
        if kind == "svg":
            return str(drawing.svg()).encode()
        return bytes(drawing.png(scale=PNG_SCALE, background="#ffffff"))
    except Exception as error:  # the library raises what its parts raise
        reason = " ".join(str(error).split())
        raise UsageError(
            f"The diagram of {workflow.path or workflow.name} cannot be drawn: {reason}"
        ) from error


def _write(target: str, draw: Callable[[], bytes], kind: str) -> None:
    if target == "-" and kind == "png" and sys.stdout.isatty():
        raise UsageError(
            "A PNG cannot be shown in a terminal: name a file, or redirect standard output to one."
        )
    picture = draw()
    if target == "-":
        put_bytes(picture)
        return
    try:
        Path(target).write_bytes(picture)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}.") from error
    say(f"Wrote {target}.")


# The terminal ------------------------------------------------------------------------------------------


def _show_in_terminal(workflow: Workflow) -> None:
    """The diagram, and what each state does."""
    console = make_console(sys.stdout)
    console.print(Text(workflow.title or workflow.name, style="bold"))
    if workflow.description and workflow.description != workflow.title:
        console.print(Text(workflow.description, style="dim"))
    console.print(Text(drawing_of(_noted(workflow))), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("state", "action", "what"):
        table.add_column(heading)
    notes = _notes(workflow)
    for state in workflow.states.values():
        action = state.action
        what = getattr(action, "what", "") or state.description
        note = notes.get(state.name, "")
        table.add_row(state.name, action.verb if action else "", ": ".join(filter(None, (note, what))))
    console.print(table)
