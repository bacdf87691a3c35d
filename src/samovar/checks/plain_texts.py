"""Plain text that was meant as a value, and names that are set or declared but not read.

Above: `checking.py`. Below: templates and prompts. Braces and `$` are common in texts (JSON, code, commands),
so only those around the name of a variable that is there are doubted, if nothing is filled in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from samovar.checks.unset import read_everywhere
from samovar.errors import Fault, nearest
from samovar.expressions.functions import FUNCTIONS
from samovar.language.names import BUILT_IN
from samovar.language.pieces import tokenize
from samovar.language.prompt import Prompt
from samovar.language.template import Template
from samovar.language.workflow import Workflow
from samovar.library import Library

_NAMED = re.compile(
    r"(?:(?P<open>\$\{|\{{1,2}|\$)[^\S\n]{0,4})?\b(?P<name>\w+)[^\S\n]{0,4}(?P<close>\}{1,2})"
    r"|\$\((?P<call>\w+)\)|%(?P<percent>\w+)%|(?<![\\$])\$(?P<bare>\w+)"
)
"""A name before a brace that closes, with whatever opens; or a name as shells and other tools fill it in."""
_NO_BRACE = re.compile(r"(?<![\\$])\$(?P<name>[^\W\d]\w*)(?P<behind>[(.\[])[^{}\n]*\}")
_MEANT_SO = frozenset((("", "}"), ("{{", "}}")))
"""Any `}` may come after a word, and a block of `raw` has whole values."""
_TAKES_IN = re.compile(r"\{%-?\s*(?:render|include|liquid)\b")
MOST_LOOKED_AT = 100
"""Places of one text that are looked at, and variables of a workflow that are compared; it takes time."""
SHORTEST_ALIKE = 4
"""Letters of a name that is taken for another one misspelt; one less if one is missing or too many."""


def unfilled(template: Template, names: Collection[str]) -> Iterator[Fault]:
    """Warnings about what looks like the value of a variable, of these names, and fills nothing in."""
    if not names:
        return
    rules, looked_at = template.rules, 0
    if rules.dollar and not rules.shell:
        yield from _without_brace(template, names)
    for token in tokenize(template.text, template.place, rules):
        for match in _NAMED.finditer(token.text) if token.kind == "text" else ():
            name = match["name"] or match["call"] or match["percent"] or match["bare"]
            looked_at += name in names
            if name in names and looked_at <= MOST_LOOKED_AT and not _is_meant(match, template):
                right = f"${{{name}}}" if rules.dollar else f"{{{{ {name} }}}}"
                message = (
                    f"`{match[0].strip()}` is plain text here, although there is a variable {name!r}: "
                    f"write `{right}` for its value."
                )
                at = token.offset + match.end() - len(match[0].lstrip())
                place = template.place.within(template.text, at)
                yield Fault(code="plain-value", message=message, place=place, severity="warning")


def _without_brace(template: Template, names: Collection[str]) -> Iterator[Fault]:
    """A `${…}` that lacks its `{`, as in `$range(1, n)}` or `$n.size}`."""
    for token in tokenize(template.text, template.place, template.rules):
        for match in _NO_BRACE.finditer(token.text) if token.kind == "text" else ():
            before = token.text[token.text.rfind("\n", 0, match.start()) + 1 : match.start()]
            known = FUNCTIONS if match["behind"] == "(" else names
            if match["name"] in known and before.count("{") <= before.count("}"):
                message = f"`{match[0][:60]}` is plain text here: write `${{{match[0][1:60]}` for a value."
                place = template.place.within(template.text, token.offset + match.start())
                yield Fault(code="plain-value", message=message, place=place, severity="warning")


def _is_meant(match: re.Match[str], template: Template) -> bool:
    """Whether the text may well be meant unchanged."""
    opens, closes = match["open"] or "", match["close"]
    if closes is None:
        of_shell = template.rules.shell
        return of_shell and (match["bare"] is None or _is_of_shell(match["bare"], template.text))
    if (opens, closes) in _MEANT_SO or (opens == "${" and template.rules.dollar):
        return True
    if opens == "$" and template.rules.shell and _is_of_shell(match["name"], template.text):
        return True
    before = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
    return not opens and before.count("{") > before.count("}")


def _is_of_shell(name: str, command: str) -> bool:
    """Whether a command gives a variable of this name a value itself."""
    return (
        re.search(rf"\b{name}=|\b(?:for|read|export|local|declare)\b[^;&|\n]*\b{name}\b", command) is not None
    )


def unread_parameters(prompt: Prompt) -> Iterator[Fault]:
    """Warnings about parameters that a prompt declares and its text does not read."""
    read = prompt.template.names
    if _TAKES_IN.search(prompt.template.text):
        return
    declared = {parameter.name for parameter in prompt.parameters}
    needed = {name for one in prompt.parameters if one.condition for name in one.condition.names}
    for parameter in prompt.parameters:
        if parameter.name not in read | needed:
            offer = nearest(parameter.name, read - declared)
            message = (
                f"The text of the prompt {prompt.name!r} does not read its parameter {parameter.name!r}."
                f"{offer if offer.startswith(' Did') else ''}"
            )
            place = parameter.place
            yield Fault(code="unread-parameter", message=message, place=place, severity="warning")


def misspelt_results(workflow: Workflow, library: Library) -> Iterator[Fault]:
    """Warnings about variables that are set and not read, a letter away from one that is set and read.

    A variable that is only set may be what the run is for.
    """
    read = read_everywhere(workflow, library)
    others = sorted(read & workflow.known_names - BUILT_IN)[:MOST_LOOKED_AT]
    for _, action in workflow.actions():
        for name in sorted(action.sets - read):
            alike = next((one for one in others if _is_alike(name, one)), None)
            if alike is not None:
                message = f"Nothing reads the variable {name!r}, which is set here. Did you mean {alike!r}?"
                yield Fault(code="unread-variable", message=message, place=action.place, severity="warning")


def _is_alike(name: str, other: str) -> bool:
    """Whether names differ by a letter, two that are swapped, or in case; not as `file` and `files` do."""
    shortest = SHORTEST_ALIKE - (len(name) != len(other))
    if min(len(name), len(other)) < shortest or abs(len(name) - len(other)) > 1:
        return False
    if name.lower() == other.lower():
        return True
    begin = next((at for at, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), None)
    if begin is None:
        last = max(name, other, key=len)[-1]
        return last != "s" and not last.isdigit()
    one, two = name[begin:], other[begin:]
    if one[0].isdigit() or two[0].isdigit():
        return False
    return (
        one[1:] == two[1:]
        or one == two[1:]
        or two == one[1:]
        or (one[:2] == two[:2][::-1] and one[2:] == two[2:])
    )
