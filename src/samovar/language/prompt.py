"""A prompt: a template with parameters.

Above: `workflow.py` for a workflow's own prompts, `library.py` for the others. Below: `template.py`,
`parameter_list.py`. In a prompt's text only Liquid is filled; `${x}` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from samovar.errors import Fault, FaultsError, Place, TemplateError, UsageError, nearest
from samovar.expressions.absent import declared
from samovar.language.markdown import Document, parse_document
from samovar.language.parameter_list import read_parameters
from samovar.language.parameters import Parameter
from samovar.language.spelling import is_old_file
from samovar.language.template import LIQUID_ONLY, Partials, Template
from samovar.language.yaml_document import FrontMatter

KEYS = frozenset(
    (
        "title",
        "description",
        "parameters",
        "arguments",
        "parameter_groups",
        "category",
        "tags",
        "name",
        "version",
        "author",
    )
)

_PARTIAL = re.compile(r"^\s*\{%-?\s*partial\s*-?%\}\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt, ready to be rendered."""

    name: str
    title: str | None
    description: str | None
    parameters: tuple[Parameter, ...]
    template: Template
    path: Path | None
    place: Place
    is_partial: bool
    """Made to be taken into others, not to be run."""
    warnings: tuple[Fault, ...] = ()
    """Warnings about its front matter."""

    def render(self, arguments: Mapping[str, object], variables: Mapping[str, object]) -> str:
        """The text with everything filled in: arguments win over variables, variables over defaults.

        Raises `TemplateError` for a variable that is not there, or a value its parameter does not allow.
        """
        with declared((parameter.name for parameter in self.parameters), more=True):
            return self.template.fill(self.values(arguments, variables))

    def values(
        self,
        arguments: Mapping[str, object],
        variables: Mapping[str, object],
        *,
        besides: Container[str] = (),
    ) -> dict[str, object]:
        """What its template is filled with. `besides`: names that need not be there. Raises as `render`."""
        values: dict[str, object] = {
            parameter.name: parameter.default
            for parameter in self.parameters
            if parameter.default is not None
        }
        values.update(variables)
        values.update(arguments)
        for parameter in self.parameters:
            if parameter.name not in values:
                if parameter.is_needed(values) and parameter.name not in besides:
                    raise TemplateError(
                        f"The prompt {self.name!r} needs {parameter.name!r}: pass it with {parameter.name}=…",
                        place=self.place,
                    )
            elif parameter.name in arguments:
                values[parameter.name] = self._typed(parameter, arguments[parameter.name])
        return values

    def _typed(self, parameter: Parameter, value: object) -> object:
        try:
            is_text = isinstance(value, str) and parameter.reads_text
            return parameter.parse(str(value)) if is_text else parameter.check(value)
        except UsageError as error:
            raise TemplateError(f"The prompt {self.name!r}: {error}", place=self.place) from error


def parse_prompt(
    text: str,
    *,
    name: str,
    path: Path | None,
    line: int = 1,
    partials: Partials | None = None,
    is_old: bool = False,
) -> Prompt:
    """Reads a prompt. `line` is where its text begins in the file. Raises `FaultsError`.

    `is_old`: the workflow that it is in is an old file; a file of its own says so itself.
    """
    document = parse_document(text, path=path, line=line)
    matter = document.front_matter
    begin = matter.end_line + 1 if matter else 1
    while begin <= len(document.lines) and not document.lines[begin - 1].strip():
        begin += 1
    content = document.text(begin, len(document.lines) + 1).rstrip()
    fence = next((fence for fence in document.fences if fence.line == begin), None)
    if fence is not None and fence.info.split()[:1] == ["prompt"]:
        begin, content = fence.line + 1, document.text(fence.line + 1, fence.end_line)
    is_partial = bool(_PARTIAL.match(content))
    parameters, faults = _read_parameters(document, is_old=is_old)
    if any(fault.severity == "error" for fault in faults):
        raise FaultsError(faults)
    place = document.place(begin)
    return Prompt(
        name=name,
        title=_text(matter, "title"),
        description=_text(matter, "description"),
        parameters=parameters,
        template=Template.parse(_PARTIAL.sub("", content), place, LIQUID_ONLY, partials=partials),
        path=path,
        place=document.place(1),
        is_partial=is_partial,
        warnings=tuple(faults),
    )


def _read_parameters(document: Document, *, is_old: bool) -> tuple[tuple[Parameter, ...], list[Fault]]:
    """The parameters, and what is wrong or doubtful about the front matter."""
    if document.front_matter is None:
        return (), []
    faults: list[Fault] = []
    values = document.front_matter.values
    for steps in document.front_matter.twice:
        message = f"{str(steps[-1])!r} appears here for the second time; the last one is used."
        place = document.spot(*steps)
        faults.append(Fault(code="duplicate-key", message=message, place=place, severity="warning"))
    for key in values:
        if key not in KEYS and (hint := nearest(key[:100], KEYS)).startswith(" Did"):
            message = f"The front matter has the unknown key {key!r}.{hint}"
            place = document.spot(key)
            faults.append(Fault(code="unknown-key", message=message, place=place, severity="warning"))
    name = "parameters" if values.get("parameters") is not None else "arguments"
    if values.get(name) is None:
        return (), faults
    parameters, wrong = read_parameters(
        values[name],
        partial(document.spot, name),
        lenient=is_old or is_old_file(document.path, values),
        source=partial(document.front_matter.source, name),
    )
    return parameters, faults + wrong


def _text(matter: FrontMatter | None, key: str) -> str | None:
    value = matter.values.get(key) if matter else None
    return None if matter is None or value is None else matter.source(key) or str(value)
