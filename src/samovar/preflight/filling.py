"""Fills templates before a run with the known values, and leaves the others open.

Above: `preview.py`, `prompts.py`. Below: templates, and the library for partials.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from samovar.errors import Place, TemplateError
from samovar.language.dollars import Rules
from samovar.language.paths import Path
from samovar.language.pieces import Partials, Token, tokenize
from samovar.language.prompt import Prompt
from samovar.language.template import Template
from samovar.library import Library


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A piece of a text that only the run knows."""

    source: str
    """What is shown for it: `${summary}`."""


Part = str | Open
Later = Mapping[str, str]
"""Variables that only the run knows, with what is shown for each."""


def shown(parts: Sequence[Part]) -> str:
    """The text, open pieces as their sources."""
    return "".join(part if isinstance(part, str) else part.source for part in parts)


def fill_prompt(
    prompt: Prompt,
    arguments: Mapping[str, object],
    values: Mapping[str, object],
    later: Later,
    library: Library,
) -> tuple[Part, ...]:
    """As `Prompt.render`, with what is `later` left open."""
    if not later:
        return (prompt.render(arguments, values),)
    known = {name: value for name, value in values.items() if name not in later}
    return fill(
        prompt.template,
        prompt.values(arguments, known, besides=later),
        later,
        partials=library.partial,
    )


def fill(
    template: Template,
    values: Mapping[str, object],
    later: Later,
    *,
    partials: Partials | None = None,
) -> tuple[Part, ...]:
    """The text of a template, with what is `later` left open.

    Where tags need what is open, all from the first tag on is left open.
    Raises `TemplateError` for what is neither there nor open.
    """
    if not template.names & later.keys():
        return _filled_with(template, values, later)
    tokens = tokenize(template.text, template.place, template.rules)
    parts = _marked(template, tokens, values, later, partials=partials)
    if parts is None:
        first = next(token.offset for token in tokens if token.kind == "tag")
        text = template.text[:first]
        head = tokenize(text, template.place, template.rules)
        parts = _marked(template, head, values, later, partials=partials, end=first) or ()
        parts = (*parts, Open(source=template.text[first:]))
    return tuple(parts)


def _filled_with(template: Template, values: Mapping[str, object], later: Later) -> tuple[Part, ...]:
    try:
        return (template.fill(values),)
    except TemplateError:
        if not later or template.rendering is None:
            raise
        # What a partial reads is not among the names of the template.
        return (Open(source=template.text),)


def _marked(
    template: Template,
    tokens: Sequence[Token],
    values: Mapping[str, object],
    later: Later,
    *,
    partials: Partials | None,
    end: int | None = None,
) -> Sequence[Part] | None:
    """Fills it with marks in the places of what is open; None if a tag needs what is open."""
    mark = f"\ue000{secrets.token_hex(8)}"
    text, opened = "", list[Open]()
    ends = [*(token.offset for token in tokens[1:]), len(template.text) if end is None else end]
    for token, stop in zip(tokens, ends, strict=True):
        source = template.text[token.offset : stop]
        if token.kind in ("value", "path", "output"):
            names = _names_of(source, template.place, template.rules)
            if names & later.keys() & template.names:  # not the variable of a loop
                source = f"{mark}{len(opened)}\ue001"
                opened.append(Open(source=_source(token, later)))
        text += source
    marked = Template.parse(text, template.place, template.rules, partials=partials)
    if marked.names & later.keys():
        return None
    try:
        filled = marked.fill(values)
    except TemplateError:
        _refuse_missing(template, values, later)
        return None
    return list(_unmarked(filled, mark, opened))


def _refuse_missing(template: Template, values: Mapping[str, object], later: Later) -> None:
    """Raises what the template itself says, with its own places, if more than what is open is missing."""
    template.fill({**values, **later})


def _names_of(source: str, place: Place, rules: Rules) -> frozenset[str]:
    return Template.parse(source, place, rules).names


def _source(token: Token, later: Later) -> str:
    value = token.value
    if isinstance(value, Path):
        is_name = len(value.steps) == 1
        return later[str(value.steps[0])] if is_name else "${" + token.text.strip("${} ") + "}"
    return token.text if value is None or value.name is None else later[value.name]


def _unmarked(filled: str, mark: str, opened: Sequence[Open]) -> Iterator[Part]:
    first, *rest = filled.split(mark)
    if first:
        yield first
    for part in rest:
        number, _, text = part.partition("\ue001")
        yield opened[int(number)]
        if text:
            yield text
