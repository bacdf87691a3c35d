"""Mistakes with quotes, brackets, marks of values and fences.

Above: `makers.py`, which has the other kinds. Below: `mistakes.py`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from benchmarks.mistakes import Change, Sheet, at_matches, misspelt


def outer_quotes(line: str) -> list[int]:
    """Where quotes of an action begin and end."""
    return [match.start() for match in re.finditer(r'(?<!\\)"', line)]


def quote_dropped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    for number in [*sheet.actions, *sheet.edges]:
        line = sheet.lines[number]
        for at in outer_quotes(line):
            yield Change(number, line[max(0, at - 8) : at + 1], "", line[:at] + line[at + 1 :], True)


def quote_dropped_in_front(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.front, r'(?<=: )"|"$', lambda m: "", True)


def quote_curly(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    for number in sheet.actions:
        line = sheet.lines[number]
        if places := outer_quotes(line):
            first, last = places[0], places[1]
            after = f"{line[:first]}“{line[first + 1 : last]}”{line[last + 1 :]}"
            yield Change(number, '""', "“”", after, False)


def quotes_single(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    yield from at_matches(sheet, sheet.actions, r'result=("\w+")', lambda m: f"'{m[1][1:-1]}'", False)


def bracket_dropped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """One bracket of a value, a tag, a call or a list."""
    numbers = [*sheet.actions, *sheet.prose]
    for pattern in (r"\$(\{)\w+\}", r"\$\{\w+(\})", r"(\{)\{ \w+ \}\}", r"\{\{ \w+ (\})\}"):
        yield from at_matches(sheet, numbers, pattern, lambda m: "", True)
    yield from at_matches(sheet, sheet.prose, r"\{% [^%]* (%)\}", lambda m: "", True)
    yield from at_matches(sheet, sheet.edges, r"[()](?=.*[<>=])", lambda m: "", True)
    yield from at_matches(sheet, sheet.edges, r"\[(?=\*)|(?<=\*)\]", lambda m: "", True)
    yield from at_matches(sheet, sheet.front, r"(?<=choices: )\[|\]$", lambda m: "", True)


def mark_dropped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    """Both brackets of one side, or `$`: what remains is a text."""
    numbers = [*sheet.actions, *sheet.prose]
    for pattern in (r"\{\{ \w+( \}\})", r"(\{\{ )\w+ \}\}", r"(\$)\{\w+\}"):
        yield from at_matches(sheet, numbers, pattern, lambda m: "", True)
    yield from at_matches(sheet, sheet.prose, r"\{% (?:if [^%]*|endif|else) %\}", lambda m: "", None)
    yield from at_matches(
        sheet, sheet.prose, r"\{% (if|endif|else)\b", lambda m: misspelt(m[1], chance), True
    )


def fence_dropped(sheet: Sheet, chance: random.Random) -> Iterator[Change]:
    numbers = list(range(len(sheet.lines)))
    is_workflow = bool(sheet.edges)
    if is_workflow:
        yield from at_matches(
            sheet, numbers, r"^```(?:mermaid)?$|^stateDiagram-v2$|^---$", lambda m: "", True
        )
