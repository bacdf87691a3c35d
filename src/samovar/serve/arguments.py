"""What a program gives a workflow: its arguments, checked before anything is prepared.

Above: `runs.py`. Below: the workflow as a tool. A program is not the user: a file that it names is below the
folder, and it gives no secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from samovar.errors import UsageError, nearest
from samovar.language.parameter_schemas import schema_of
from samovar.language.parameters import Parameter
from samovar.language.schema_values import mismatch
from samovar.language.tool_schemas import given_to, is_required
from samovar.language.workflow import Workflow

MOST_SAID = 10
"""Of what is wrong."""


def arguments_of(workflow: Workflow, given: Mapping[str, object], folder: Path) -> dict[str, object]:
    """The values of parameters. A null is a value that is not given.

    `folder`: that a file has to be below. Raises `UsageError` with what is wrong with them.
    """
    values = {name: value for name, value in given.items() if value is not None}
    try:
        wrong = list(_wrong(workflow, values, folder))
    except RecursionError:
        wrong = ["The arguments have too many lists or maps within each other."]
    if wrong:
        raise UsageError("\n".join(wrong[:MOST_SAID]))
    return values


def _wrong(workflow: Workflow, given: Mapping[str, object], folder: Path) -> Iterator[str]:
    known = {one.name: one for one in given_to(workflow)}
    for name in given:
        if name not in known:
            yield f"There is no argument {_brief(name)}.{nearest(name[:100], known)}"
    for name, parameter in known.items():
        if name in given:
            yield from _wrong_value(parameter, given[name], folder)
        elif is_required(parameter):
            said = f": {parameter.description.rstrip('. ')}" if parameter.description else ""
            yield f"The argument {name!r} is missing{said}."


def _wrong_value(parameter: Parameter, value: object, folder: Path) -> Iterator[str]:
    if any(not _is_text(text) for text in _texts(value)):
        yield f"The argument {parameter.name!r} has half of a character (a lone surrogate)."
        return
    if wrong := mismatch(value, schema_of(parameter), parameter.name):
        yield wrong
        return
    try:
        parameter.check(value)
    except UsageError as error:
        yield error.message
        return
    if parameter.type in ("file", "folder") and not is_below(str(value), folder):
        yield f"The argument {parameter.name!r} must be a path below {folder}, not {_brief(str(value))}."


def is_below(path: str, folder: Path) -> bool:
    """Whether a path, and all that links in it lead to, is in the folder."""
    if "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
        return False
    try:
        return (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key)
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _brief(text: str) -> str:
    return ascii(text) if len(text) <= 100 else f"{text[:100]!a}…"
