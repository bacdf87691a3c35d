"""A prompt: a template with parameters.

Above: `workflow.py` for a workflow's own prompts, `library.py` for the others. Below: `template.py`,
`parameters.py`. In a prompt's text only Liquid is filled; `${x}` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from samovar.errors import FaultsError, Place, TemplateError, UsageError
from samovar.markdown import parse_document
from samovar.parameters import Parameter, read_parameters
from samovar.template import Partials, Template

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

    def render(self, arguments: Mapping[str, object], variables: Mapping[str, object]) -> str:
        """The text with everything filled in: arguments win over variables, variables over defaults.

        Raises `TemplateError` for a variable that is not there, or a value its parameter does not allow.
        """
        values: dict[str, object] = {
            parameter.name: parameter.default
            for parameter in self.parameters
            if parameter.default is not None
        }
        values.update(variables)
        values.update(arguments)
        for parameter in self.parameters:
            if parameter.name not in values:
                if parameter.required:
                    raise TemplateError(
                        f"The prompt {self.name!r} needs {parameter.name!r}: give it with {parameter.name}=…",
                        place=self.place,
                    )
            elif parameter.name in arguments:
                values[parameter.name] = self._typed(parameter, arguments[parameter.name])
        return self.template.fill(values)

    def _typed(self, parameter: Parameter, value: object) -> object:
        try:
            is_text = isinstance(value, str) and parameter.type in ("boolean", "number", "multi_choice")
            return parameter.parse(str(value)) if is_text else parameter.check(value)
        except UsageError as error:
            raise TemplateError(f"The prompt {self.name!r}: {error}", place=self.place) from error


def parse_prompt(
    text: str, *, name: str, path: Path | None, line: int = 1, partials: Partials | None = None
) -> Prompt:
    """Reads a prompt. `line` is where its text begins in the file. Raises `FaultsError`."""
    document = parse_document(text, path=path, line=line)
    matter = document.front_matter
    values = matter.values if matter else {}
    begin = matter.end_line + 1 if matter else line
    body = document.lines[begin - 1 :]
    while body and not body[0].strip():
        body, begin = body[1:], begin + 1
    fence = next((fence for fence in document.fences if fence.line == begin), None)
    if fence is not None and fence.info.split()[:1] == ["prompt"]:
        begin, body = fence.line + 1, document.lines[fence.line : fence.end_line - 1]
    content = "\n".join(body).rstrip()
    is_partial = bool(_PARTIAL.match(content))
    parameters: tuple[Parameter, ...] = ()
    if matter and (key := next((key for key in ("parameters", "arguments") if key in values), None)):
        parameters, faults = read_parameters(values[key], document.place(matter.lines.get(key, matter.line)))
        errors = [fault for fault in faults if fault.severity == "error"]
        if errors:
            raise FaultsError(errors)
    place = document.place(begin)
    return Prompt(
        name=name,
        title=_text(values.get("title")),
        description=_text(values.get("description")),
        parameters=parameters,
        template=Template.parse(_PARTIAL.sub("", content), place, dollar=False, partials=partials),
        path=path,
        place=document.place(line),
        is_partial=is_partial,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
