"""Tools that prompts name and that there are not, as far as that is known without starting a server.

Above: `checking.py`. Below: the table of tools; the library, for workflows that are tools. A source that is
not built in is a server of the user's settings, which `preflight/tool_sources.py` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from samovar.actions.prompt import ExecutePrompt
from samovar.errors import Fault, NotFoundError, Place, SamovarError, nearest
from samovar.language.tool_names import read_tools
from samovar.language.tool_schemas import tool_name
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.tools.table import KNOWN
from samovar.tools.workflows import SOURCE

CODE = "unknown-tool"


def unknown_tools(action: ExecutePrompt, workflow: Workflow, library: Library) -> Iterator[Fault]:
    """Faults of the tools of one prompt."""
    value, choice = action.using.of("tools"), action.using.of("tool_choice")
    if value is None or not value.is_literal:
        return
    try:
        patterns = read_tools(value.given)
    except ValueError:  # which is a fault of the line
        return
    for pattern in patterns:
        yield from _unknown(pattern, value.place, workflow, library)
    if choice is not None and choice.is_literal:
        name = str(choice.given)
        if name not in ("auto", "none", "required") and not any(fnmatchcase(name, one) for one in patterns):
            message = f"`tool_choice` names {name!r}, which is not among the `tools` of the prompt."
            yield Fault(code=CODE, message=message, place=choice.place)


def _unknown(pattern: str, place: Place, workflow: Workflow, library: Library) -> Iterator[Fault]:
    source = pattern.partition(".")[0]
    if source == SOURCE:
        yield from _unknown_workflow(pattern, place, workflow, library)
    elif source in KNOWN and not any(fnmatchcase(one, pattern) for one in KNOWN[source]):
        yield _fault(pattern, KNOWN[source], place)


def _unknown_workflow(pattern: str, place: Place, workflow: Workflow, library: Library) -> Iterator[Fault]:
    name = pattern.partition(".")[2]
    known = [tool_name(entry.name) for entry in library.workflows()]
    if any(fnmatchcase(one, name) for one in known):
        return
    try:
        library.child(workflow, name)
    except NotFoundError:
        yield _fault(pattern, [f"{SOURCE}.{one}" for one in known], place)
    except SamovarError:  # its faults are its own
        return


def _fault(pattern: str, known: Sequence[str], place: Place) -> Fault:
    message = f"There is no tool {pattern!r}.{nearest(pattern, known)}"
    return Fault(code=CODE, message=message, place=place)
