"""Prompts that could share a prefix but do not, because a changing value comes before it.

Above: `checking.py`. Below: the values of a workflow, and the library. What prompts have in common from their
first token on is evaluated once; one changed word, and all behind it is evaluated again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from samovar.actions.prompt import ExecutePrompt
from samovar.errors import Fault, SamovarError
from samovar.language.pieces import Token, tokenize
from samovar.language.template import Template
from samovar.language.workflow import Workflow
from samovar.library import Library

FIXED_CHARS = 300
"""This much fixed text behind a changing value is worth a warning: some 75 tokens for each prompt."""

_FIXED = ("text", "raw")
"""Kinds of tokens that are always the same text."""
_NAME = re.compile(r"\"[^\"]*\"|'[^']*'|(?<![\w.])([A-Za-z_]\w*)")
_CLOCK = re.compile(r"[\"'](now|today)[\"']\s*\|\s*date\b")


@dataclass(frozen=True, slots=True)
class _Use:
    """One state's use of a prompt's text."""

    action: ExecutePrompt
    is_repeated: bool
    """The state is in a loop."""


def broken_prefixes(workflow: Workflow, library: Library) -> Iterator[Fault]:
    """Warnings, one for each prompt."""
    uses = _uses(workflow)
    if not uses:
        return
    set_here = (action.sets | action.item_names for _, action in workflow.actions())
    changing = frozenset().union(*set_here, {"result"})
    everything = [use for group in uses.values() for use in group]
    for name, group in uses.items():
        template = _template(name, group[0].action, workflow, library)
        if template is not None:
            names: frozenset[str] = frozenset()
            if len(group) > 1 or group[0].is_repeated:
                read = template.names - {*_fixed_arguments(group)}
                names = read & changing | read & _changing_arguments(group, changing)
            what = "This prompt" if name.startswith("\0") else f"The prompt {name!r}"
            yield from _broken(template, names, what)
    if workflow.system and everything:
        often = len(everything) > 1 or any(use.is_repeated for use in everything)
        names = workflow.system.names & changing if often else frozenset()
        yield from _broken(workflow.system, names, "The system prompt")


def _broken(template: Template, changing: frozenset[str], what: str) -> Iterator[Fault]:
    """A warning if the first changing value is before much fixed text."""
    tokens = tokenize(template.text, template.place, template.rules)
    for index, token in enumerate(tokens):
        value = next(iter(sorted(_names(token) & changing)), None)
        if _CLOCK.search(token.text) and token.kind not in _FIXED:
            value = "the date"
        if value is None:
            continue
        fixed = len("".join(one.text for one in tokens[index + 1 :] if one.kind in _FIXED).strip())
        if fixed >= FIXED_CHARS:
            message = (
                f"{what} has {value!r}, which changes, before {fixed} characters of fixed text, so they are "
                "evaluated again each time. Move the fixed text above it."
            )
            place = template.place.within(template.text, token.offset)
            yield Fault(code="prefix-broken", message=message, place=place, severity="warning")
        return


def _names(token: Token) -> frozenset[str]:
    """What may be variables in a token."""
    if token.kind in _FIXED:
        return frozenset()
    if token.value is not None:
        return token.value.names
    return frozenset(match[1] for match in _NAME.finditer(token.text) if match[1])


def _uses(workflow: Workflow) -> Mapping[str, Sequence[_Use]]:
    """By the prompt's name, or by its place for a state's own text; not those that continue a session."""
    loops: frozenset[str] | None = None
    found: dict[str, list[_Use]] = {}
    for state, action in workflow.actions():
        if not isinstance(action, ExecutePrompt) or action.using.of("session") or action.using.of("fork"):
            continue
        loops = _repeated(workflow) if loops is None else loops
        if action.name is None:
            found.setdefault(f"\0{action.place}", []).append(_Use(action, state.name in loops))
        elif action.name.is_literal:
            found.setdefault(action.name.text({}), []).append(_Use(action, state.name in loops))
    return found


def _template(name: str, action: ExecutePrompt, workflow: Workflow, library: Library) -> Template | None:
    if action.inline is not None:
        return action.inline.template
    try:
        return library.prompt(name, workflow=workflow).template
    except SamovarError:
        return None


def _changing_arguments(group: Sequence[_Use], changing: frozenset[str]) -> frozenset[str]:
    """The arguments whose value changes from use to use."""
    texts: dict[str, set[str]] = {}
    found: set[str] = set()
    for pair in (pair for use in group for pair in use.action.arguments):
        texts.setdefault(pair.key, set()).add(pair.value.template.text)
        if pair.value.names & changing:
            found.add(pair.key)
    return frozenset(found | {key for key, different in texts.items() if len(different) > 1})


def _fixed_arguments(group: Sequence[_Use]) -> Iterator[str]:
    """The arguments that all uses give as one literal, whatever a variable of that name is."""
    for pair in group[0].action.arguments:
        given = [other for one in group for other in one.action.arguments if other.key == pair.key]
        texts = {other.value.template.text for other in given}
        if len(given) == len(group) and len(texts) == 1 and not pair.value.names:
            yield pair.key


def _repeated(workflow: Workflow) -> frozenset[str]:
    """States that are in a loop, or whose prompt is asked for each item of a list."""
    each = {name for name, state in workflow.states.items() if state.action and state.action.each}
    return _in_loops(workflow).union(each, *(body.states for body in workflow.bodies.values()))


def _in_loops(workflow: Workflow) -> frozenset[str]:
    """States that a run may come through again: what is left without those before and behind all loops."""
    left = set(workflow.states)
    ahead = {
        name: {one.target for one in state.transitions if one.target}
        for name, state in workflow.states.items()
    }
    behind: dict[str, set[str]] = {name: set() for name in left}
    for name, targets in ahead.items():
        for target in targets:
            behind[target].add(name)
    for ways, back in ((ahead, behind), (behind, ahead)):
        counts = {name: len(ways[name] & left) for name in left}
        ends = [name for name, count in counts.items() if not count]
        while ends:
            name = ends.pop()
            left.discard(name)
            for other in back[name] & left:
                counts[other] -= 1
                if not counts[other]:
                    ends.append(other)
    return frozenset(left)
