"""The standard output of a run: events or an object as JSON, or its result.

Above: `run.py`. Below: the wire. Lines and reports for people are in `live.py` and `report.py`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from samovar.cli.showing import bounded, is_shown, shown, visible
from samovar.cli.terminal import put
from samovar.errors import ActionError, FaultsError, NotFoundError, SamovarError, UsageError
from samovar.errors.counting import counted
from samovar.events import Event
from samovar.language.names import BRANCHES, first_variables
from samovar.language.paths import read_path
from samovar.language.workflow import Workflow
from samovar.preflight.filling import Open
from samovar.preflight.prompts import MessagePreview
from samovar.running.wire import error_to_wire, event_to_wire, fault_to_wire
from samovar.values import plain, to_text


class Silent:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing is held."""


class JsonLines:
    """Shows every event as a line of JSON."""

    def __call__(self, event: Event) -> None:
        put(json_text(event_to_wire(event)) + "\n")

    def close(self) -> None:
        """Nothing is held."""


_HALF = re.compile("[\ud800-\udfff]")
_NOT_ASCII = re.compile("[^\\x00-\\x7f]")

Printed = Callable[[Mapping[str, object]], str | None]
"""What goes to standard output at the end, of the variables there; None: nothing."""


def asked_output(path: str | None, workflow: Workflow, variables: Mapping[str, object]) -> Printed | None:
    """What `--print` asks for. Raises `NotFoundError` for a variable that nothing can set, before the run."""
    if path is None:
        return None
    way = read_path(path)
    if way is None:
        raise UsageError(f"--print takes a variable or a part of one, as in answer.tokens, not {path!r}.")
    names = {*first_variables(variables), BRANCHES}
    for state in workflow.states.values():
        names |= state.action.sets if state.action else frozenset()
    if way.steps[0] not in names:
        raise NotFoundError("variable", str(way.steps[0]), names)

    def text(variables: Mapping[str, object]) -> str:
        if way.steps[0] not in variables:
            raise ActionError(f"The run ended without setting {way.steps[0]!r}.")
        try:
            return to_text(plain(way.walk(variables)))
        except KeyError as error:
            raise ActionError(f"--print {path}: {error.args[0]}") from None

    return text


def write_json(value: Mapping[str, Any]) -> None:
    """One object, readable."""
    put(json_text(value, indent=2) + "\n")


def json_text(value: object, *, indent: int | None = None) -> str:
    """The value as JSON that every reader takes and this standard output can have.

    Half a character, as which bytes that are not UTF-8 come in, is U+FFFD. What a terminal would do instead
    of show is an escape.
    """
    text = _HALF.sub("\ufffd", json.dumps(value, ensure_ascii=False, indent=indent))
    if not text.isprintable():
        text = text.translate({ord(one): json.dumps(one)[1:-1] for one in set(text) if not is_shown(one)})
    if (sys.stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf"):
        return text
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def show_message(console: Console, message: MessagePreview, *, indent: str) -> None:
    """The role, then the text; values only known in the run are highlighted. A terminal gets a bounded part
    of it."""
    whole = "".join(part.source if isinstance(part, Open) else part for part in message.parts)
    if not console.is_terminal:  # nothing is to be formatted: it is written as it is
        lines = "".join(f"{indent}{line}\n" for line in whole.split("\n"))
        console.file.write(f"{indent}{message.role}:\n{lines}")
        return
    console.print(Text(f"{indent}{message.role}:", style="dim"))
    text = Text()
    is_short = bounded(whole) == whole
    for part in message.parts if is_short else (shown(whole),):
        if isinstance(part, Open):
            text.append(part.source, style="bold yellow")
        else:
            text.append(visible(part))
    for line in text.split("\n", allow_blank=True):
        console.print(Text(indent) + line, soft_wrap=True)


def error_object(workflow: str | None, error: SamovarError) -> dict[str, Any]:
    """What `--json` gives if nothing was done. `workflow`: what was to be run; None: nothing was."""
    wire: dict[str, Any] = {}
    if workflow is not None:
        wire = {"run": None, "workflow": workflow, "status": "invalid"}
    wire["error"] = error_to_wire(error)
    if isinstance(error, FaultsError):
        count = len(error.faults)
        what = f"{workflow} has" if workflow else "There is" if count == 1 else "There are"
        wire["error"]["message"] = f"{what} {counted(count, 'fault')}."
        wire["faults"] = [fault_to_wire(fault) for fault in error.faults]
    return wire
