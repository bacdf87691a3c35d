"""The kinds of mistakes, each made in the ways in which people make it.

Above: `mutation.py`. Below: `mistakes.py`, which knows the parts of a file. A maker gives every place where
its mistake can be made; what it says of `breaks` is by construction, and never asked of `check`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from benchmarks.marks import (
    bracket_dropped,
    fence_dropped,
    mark_dropped,
    quote_curly,
    quote_dropped,
    quote_dropped_in_front,
    quotes_single,
)
from benchmarks.mistakes import Change, Maker, Sheet, at_matches, misspelt

_VERB = r"^- \w+: (\w+)"
_STATE = r"(?<![\w\"])([A-Z]\w*)(?= -->|$|:)"
_OPTIONS = "result|choices|session|fork|max_tokens|stop|model|executor|temperature"


def _names(sheet: Sheet) -> str:
    return "|".join(sorted(sheet.declared | sheet.set_here)) or "(?!)"


def _all(sheet: Sheet) -> list[int]:
    return [*sheet.front, *sheet.edges, *sheet.actions, *sheet.prose]


# Verbs.


def verb_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.actions, _VERB, lambda m: misspelt(m[1], chance), True)


def second_word_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    for pattern in (r"(?:Execute|Run) (\w+)(?= \")", r" (with)(?= \w+=)", r" (using)(?= \w+=)"):
        yield from at_matches(sheet, sheet.actions, pattern, lambda m: misspelt(m[1], chance), True)


def verb_another(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """A word of another tool."""
    other = ["Echo", "Print", "Ask", "Call", "Assign", "Bash", "Invoke", "Generate"]
    yield from at_matches(sheet, sheet.actions, _VERB, lambda m: chance.choice(other), True)


def colon_dropped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.actions, r"^- \w+(:)", lambda m: "", True)


# States.


def state_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    states = set(sheet.states)
    for change in at_matches(sheet, sheet.edges, _STATE, lambda m: misspelt(m[1], chance), True):
        if change.new not in states and change.old in states:
            yield change


def bullet_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    for change in at_matches(sheet, sheet.actions, r"^- (\w+)", lambda m: misspelt(m[1], chance), True):
        if change.new not in sheet.states:
            yield change


def state_other_case(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.edges, _STATE, lambda m: m[1].lower(), True)
    yield from at_matches(sheet, sheet.actions, r"^- (\w+)", lambda m: m[1].lower(), True)


def target_another(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    states = sheet.states
    yield from at_matches(sheet, sheet.edges, r"--> (\w+)", lambda m: chance.choice(states), None)


def edge_missing(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.edges, r"^.*$", lambda m: "", None)


def arrow_wrong(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    arrows = ["->", "=>", "-- >", "-->>", "→", "- ->"]
    yield from at_matches(sheet, sheet.edges, r"-->", lambda m: chance.choice(arrows), True)


# Variables.


def read_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    for pattern in (r"\$\{(\w+)", r"\{\{ (\w+)", r"\{% if (\w+)"):
        numbers = [*sheet.actions, *sheet.prose]
        for change in at_matches(sheet, numbers, pattern, lambda m: misspelt(m[1], chance), True):
            if change.new not in sheet.known:
                yield change


def condition_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    pattern = rf"\b({_names(sheet)})\b(?=[^\"]*(?:==|!=|>=|<=|<|>))"
    for change in at_matches(sheet, sheet.edges, pattern, lambda m: misspelt(m[1], chance), True):
        if change.new not in sheet.known:
            yield change


def set_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    for pattern in (r'result="(\w+)"', r"Set (\w+) ?:?="):
        yield from at_matches(sheet, sheet.actions, pattern, lambda m: misspelt(m[1], chance), None)


def computed_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    pattern = rf"(?<=[:+] )({_names(sheet)})(?= [+*-])"
    for change in at_matches(sheet, sheet.actions, pattern, lambda m: misspelt(m[1], chance), True):
        if change.new not in sheet.known:
            yield change


def read_another(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    known = sorted(sheet.declared | sheet.set_here)
    pattern = r"(?:\$\{|\{\{ )(\w+)"
    if known:
        yield from at_matches(sheet, _all(sheet), pattern, lambda m: chance.choice(known), False)


# Parameters.


def parameter_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """The declaration: what reads it then reads what nothing sets."""
    for change in at_matches(sheet, sheet.front, r"- name: (\w+)", lambda m: misspelt(m[1], chance), True):
        if change.old in sheet.read - sheet.set_here:
            yield change


def key_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    keys = "name|description|required|default|type|choices|pattern|min|max|parameters|title|system"
    pattern = rf"^(?: *- | *)({keys}):"
    yield from at_matches(sheet, sheet.front, pattern, lambda m: misspelt(m[1], chance), True)


def type_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.front, r" type: (\w+)", lambda m: misspelt(m[1], chance), True)


def argument_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    pattern = r" (\w+)=\"\$\{"
    for change in at_matches(sheet, sheet.actions, pattern, lambda m: misspelt(m[1], chance), True):
        if change.old not in _OPTIONS.split("|") and f"Set {change.old}" not in sheet.lines[change.line]:
            yield change


def target_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """The name of a prompt or a workflow, where it is used or where it stands as a heading."""
    pattern = r'(?:prompt|workflow) "([\w-]+)"'
    yield from at_matches(sheet, sheet.actions, pattern, lambda m: misspelt(m[1], chance), True)
    yield from at_matches(sheet, sheet.prose, r"^### (\w+)$", lambda m: misspelt(m[1], chance), True)


def default_untyped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """A default that its type refuses."""
    pattern = r"^    default: (\d+|plain|bugs)$"
    for change in at_matches(sheet, sheet.front, pattern, lambda m: "many", True):
        if any("type: " in sheet.lines[number] for number in range(change.line - 4, change.line)):
            yield change


# Options.


def option_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.actions, rf" ({_OPTIONS})=", lambda m: misspelt(m[1], chance), True)


def option_dashed(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.actions, r" (max_tokens)=", lambda m: "max-tokens", True)


def option_untyped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    wrong = ["many", "4O", "-5", '"some"', "1.5"]
    yield from at_matches(sheet, sheet.actions, r"max_tokens=(\d+)", lambda m: chance.choice(wrong), True)
    yield from at_matches(sheet, sheet.actions, r' fork="(\w+)"', lambda m: misspelt(m[1], chance), True)


def option_with_colon(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.actions, rf" (?:{_OPTIONS})(=)", lambda m: ": ", True)


# Labels and comparisons.


def label_misspelt(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    pattern = r": (default|failure|success|always)$"
    yield from at_matches(sheet, sheet.edges, pattern, lambda m: misspelt(m[1], chance), True)


def label_another(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """A word that is no plain label, or one that means the same."""
    same = {"default": ["else", "Default"], "failure": ["failed", "on failure", "Failure"]}
    other = ["otherwise", "done", "ok", "if it works", "not valid", "timeout"]
    pattern = r": (default|failure)$"
    yield from at_matches(sheet, sheet.edges, pattern, lambda m: chance.choice(other), True)
    yield from at_matches(sheet, sheet.edges, pattern, lambda m: chance.choice(same[m[1]]), False)


def label_dropped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.edges, r"(: .+)$", lambda m: "", None)


def label_colon_dropped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.edges, r"(:) .+$", lambda m: "", True)


def choice_missing(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """An answer that is not among the choices."""

    def other(match: re.Match[str]) -> str:
        return chance.choice([misspelt(match[1], chance), match[1].capitalize(), match[1] + " "])

    yield from at_matches(sheet, sheet.edges, r'== "(\w+)"$', other, True)
    yield from at_matches(
        sheet, sheet.actions, r'choices="(yes)\|no"', lambda m: misspelt(m[1], chance), None
    )


def operator_wrong(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    wrong = {"==": ["=", "= =", "eq", "=~"], "!=": ["=!", "<>", "! =", "/="], ">=": ["=>", "> =", "≥"]}
    for operator, forms in wrong.items():
        breaking = [form for form in forms if form != "≥"]
        pattern = re.escape(operator)
        yield from at_matches(sheet, sheet.edges, pattern, lambda m, of=breaking: chance.choice(of), True)  # type: ignore[misc]


def operator_turned(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """Another one, or `===`, which means the same."""
    turned = {"==": "!=", "!=": "==", ">=": "<="}
    yield from at_matches(sheet, sheet.edges, r"==|!=|>=", lambda m: turned[m[0]], False)
    yield from at_matches(sheet, sheet.edges, r"==", lambda m: "===", False)


def compared_untyped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """A text against a number, and the other way round; a text without its quotes."""
    yield from at_matches(
        sheet, sheet.edges, r'== ("\w+")$', lambda m: chance.choice(["1", m[1][1:-1]]), True
    )
    yield from at_matches(sheet, sheet.edges, r">= (attempts|most_bytes - 3)$", lambda m: '"3"', True)
    yield from at_matches(sheet, sheet.edges, r" (>=|==|!=)(?= )", lambda m: "", True)


MAKERS: dict[str, tuple[Maker, ...]] = {
    "verb": (verb_misspelt, second_word_misspelt, verb_another, colon_dropped),
    "state": (state_misspelt, bullet_misspelt, state_other_case, target_another, edge_missing, arrow_wrong),
    "variable": (read_misspelt, condition_misspelt, set_misspelt, computed_misspelt, read_another),
    "parameter": (
        parameter_misspelt,
        key_misspelt,
        type_misspelt,
        argument_misspelt,
        target_misspelt,
        default_untyped,
    ),
    "option": (option_misspelt, option_dashed, option_untyped, option_with_colon),
    "quote": (quote_dropped, quote_dropped_in_front, quote_curly, quotes_single),
    "bracket": (bracket_dropped, mark_dropped, fence_dropped),
    "label": (label_misspelt, label_another, label_dropped, label_colon_dropped),
    "comparison": (operator_wrong, operator_turned, compared_untyped, choice_missing),
}
"""The ways of each kind."""
