"""What a program sees of a workflow that says `expose: true`, if that is less than it needs.

Above: `checking.py`. Below: the workflow as a tool. What is missing keeps nobody from using it: a model that
chooses tools only knows less of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.errors import Fault
from samovar.language.parameters import Parameter
from samovar.language.tool_schemas import OWN_TOOLS, TOOL_NAME, given_to, is_required, tool_name
from samovar.language.workflow import Workflow


def doubtful_exposure(workflow: Workflow) -> Iterator[Fault]:
    """Hints about what nobody explains, and warnings about what makes it a tool in vain."""
    place = workflow.exposed
    if place is None:
        return
    for why in _in_vain(workflow):
        yield Fault(code="exposed-in-vain", message=why, place=place, severity="warning")
    if not (workflow.description or workflow.title):
        message = (
            f"A client sees the tool {tool_name(workflow.name)!r} without a description. Write a "
            "`description` that says when to use it."
        )
        yield Fault(code="exposed-unclear", message=message, place=place, severity="hint")
    for one in given_to(workflow):
        if not (one.is_typed and one.description):
            yield Fault(code="exposed-unclear", message=_seen(one), place=one.place, severity="hint")
    if workflow.returns is None:
        message = (
            "A client sees that the tool gives a `result` of any type. Name and describe what it gives with "
            "`returns`."
        )
        yield Fault(code="exposed-unclear", message=message, place=place, severity="hint")


def _in_vain(workflow: Workflow) -> Iterator[str]:
    name = tool_name(workflow.name)
    if not TOOL_NAME.fullmatch(name):
        yield (
            f"No client sees this workflow, since a tool cannot be called {name[:80]!r}. Name its file with "
            "at most 128 letters from A to Z, digits, `_`, `-` and `.`."
        )
    elif name in OWN_TOOLS:
        yield f"No client sees this workflow, since {name!r} is a tool of Samovar's own: rename its file."
    for one in workflow.parameters:
        if one.secret and is_required(one) and one.from_env is None:
            yield (
                f"No client can use this workflow: it needs {one.name!r}, and no client gives a secret. "
                "Name a variable of the environment for it with `from_env`."
            )


def _seen(one: Parameter) -> str:
    kind = one.type if one.is_typed else "text of no stated type"
    without = "" if one.description else ", without a description"
    wanted = {"`type`": one.is_typed, "`description`": bool(one.description)}
    missing = " and ".join(key for key, is_there in wanted.items() if not is_there)
    return f"A client sees {one.name!r} as a {kind}{without}. Write its {missing}."
