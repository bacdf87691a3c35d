"""How reading grows with what is read: CPU seconds of hostile texts of two sizes, one twice the other.

    python -m benchmarks.linear [--only NAME ...]

Each row is a kind of text that once took, or could take, time that grows faster than its length. The ratio of
the two times must be at most 2.3; the command ends with status 1 if one is above. To add a kind, add a
line to `INPUTS`: how a text of a size is made, and what reads it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from tests.growth import cpu_s
from tests.long_commands import LONG

from samovar.actions import parse_action
from samovar.checks.checking import check_workflow
from samovar.errors import FaultsError, Place
from samovar.language.reading import parse_workflow
from samovar.language.template import LIQUID_ONLY, Template
from samovar.library import Library

MOST_RATIO = 2.3
ROUNDS = 2
MOST_ROUNDS = 12
"""Of each size; the quickest counts."""
LONGEST_LINE = 64_000
LARGEST_TEXT = 4_000_000

HERE = Place(path=None, line=1)
TOP = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n\n## Actions\n\n"


class Input(NamedTuple):
    """A kind of text."""

    make: Callable[[int], str]
    """A text of about so many characters."""
    read: Callable[[str], object]
    """Reads it; a fault is a reading too."""
    size: int
    """Characters of the larger one."""


def repeated(piece: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """Makes texts of one piece, over and over."""
    return lambda size: before + piece * ((size - len(before) - len(after)) // len(piece)) + after


def prompt(text: str) -> object:
    """Reads a prompt's text."""
    return Template.parse(text, HERE, LIQUID_ONLY)


def action(text: str) -> object:
    """Reads an action in a new file."""
    return parse_action(text, HERE)


def old_action(text: str) -> object:
    """Reads an action in an old file."""
    return parse_action(text, HERE, is_old=True)


def workflow(text: str) -> object:
    """Reads a file whose only bullet is the text."""
    return parse_workflow(TOP + text, name="w", path=None, parse_action=parse_action)


def many_names(size: int) -> str:
    """A bullet that reads many variables, which nothing sets."""
    return '- A: Log "' + "".join(f"${{v{number}}} " for number in range(size // 9)) + '"\n'


def checked(text: str) -> object:
    """As `workflow`, and checked."""
    read = parse_workflow(TOP + text, name="w", path=None, parse_action=parse_action)
    return check_workflow(read, Library([], parse_action))


def command(kind: Callable[[int], str]) -> Callable[[int], str]:
    """Makes actions of a kind of shell command, which grows with a number."""

    def written(count: int) -> str:
        text = kind(count).replace("${", "$${").replace('"', '\\"').replace("@", "${x}")
        return f'Shell "{text}"'

    def make(size: int) -> str:
        before, after = len(written(100)), len(written(200))
        return written(max(100 + (size - before) * 100 // (after - before), 1))

    return make


INPUTS: Mapping[str, Input] = {
    "prompt of {{": Input(repeated("{{ "), prompt, LARGEST_TEXT),
    "prompt of {%": Input(repeated("{% "), prompt, LARGEST_TEXT),
    "prompt of {% raw %}": Input(repeated("{% raw %}"), prompt, 1_000_000),
    "prompt of {% doc %}": Input(repeated("{% doc %}"), prompt, 1_000_000),
    "prompt of {{ x }}": Input(repeated("{{ x }} "), prompt, 1_000_000),
    "prompt of {{ x | upcase }}": Input(repeated("{{ x | upcase }} "), prompt, 100_000),
    "{{ and blanks }}": Input(repeated(" ", "{{", "}}"), prompt, 1_000_000),
    "{% else and blanks %}": Input(repeated(" ", "{% else", "%}"), prompt, 1_000_000),
    "quotes and back-slashes": Input(repeated('\\"', "{{ x | append: "), prompt, 1_000_000),
    'Log "${x} ${x} …"': Input(repeated("${x} ", 'Log "', '"'), action, LONGEST_LINE),
    'Log "${x + 1} …"': Input(repeated("${x + 1} ", 'Log "', '"'), action, LONGEST_LINE),
    'Log "{{{{…': Input(repeated("{{", 'Log "', '"'), action, LONGEST_LINE),
    'Log "{%{%…': Input(repeated("{%", 'Log "', '"'), action, LONGEST_LINE),
    'Log "{% raw %}…': Input(repeated("{% raw %}", 'Log "', '"'), action, LONGEST_LINE),
    'Log "$${…"': Input(repeated("$${", 'Log "', '"'), action, LONGEST_LINE),
    "Log of back-slashes": Input(repeated('\\\\"', 'Log "'), action, LONGEST_LINE),
    "Log of escaped quotes": Input(repeated('\\"', 'Log "', '"'), action, LONGEST_LINE),
    "${ without an end": Input(repeated("x + ", 'Log "${'), action, LONGEST_LINE),
    "${ of brackets": Input(repeated("[", 'Log "${'), action, LONGEST_LINE),
    "many assignments": Input(repeated('a="${x}", ', "Set ", "b=1"), action, LONGEST_LINE),
    "bare JSON": Input(repeated('"${x}",', "Set a=[", "1]"), action, LONGEST_LINE),
    "${ of an old command": Input(repeated("${'", 'Shell "', '"'), old_action, LONGEST_LINE),
    "// in an old command": Input(repeated("${//", 'Shell "', '"'), old_action, LONGEST_LINE),
    "a bullet of lines": Input(repeated("\n  ${x}", '- A: Log "', '"\n'), workflow, LONGEST_LINE),
    "check of unset variables": Input(many_names, checked, LONGEST_LINE),
    "words of a command": Input(repeated('"${x}", ', 'Command ["a", ', '"b"]'), action, LONGEST_LINE),
    "with blanks before a limit": Input(repeated("with  ", "Set n := 1 "), action, LONGEST_LINE),
    "limits behind an expression": Input(repeated(" timeout=a", "Set n := 1"), action, LONGEST_LINE),
    **{f"Shell: {name}": Input(command(kind), action, LONGEST_LINE) for name, kind in LONG.items()},
}


def seconds(one: Input) -> tuple[float, float]:
    """The CPU seconds of the quickest of some readings, of half the size and of the whole.

    What else a machine does is in them, so that a ratio that is too large is measured again.
    """
    half, whole = one.make(one.size // 2), one.make(one.size)
    half_s = whole_s = math.inf
    for number in range(MOST_ROUNDS):
        half_s = min(half_s, cpu_s(partial(_read, one, half)))
        whole_s = min(whole_s, cpu_s(partial(_read, one, whole)))
        if number + 1 >= ROUNDS and whole_s <= MOST_RATIO * half_s:
            break
    return half_s, whole_s


def _read(one: Input, text: str) -> None:
    with suppress(FaultsError):
        one.read(text)


def main() -> None:
    """Measures all kinds, or those that are named, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(INPUTS), default=list(INPUTS), metavar="NAME")
    is_over = False
    print(f"{'':32} {'characters':>10} {'half, s':>9} {'whole, s':>9} {'ratio':>6}")
    for name in parser.parse_args().only:
        one = INPUTS[name]
        half_s, whole_s = seconds(one)
        # Below this, the clock itself is most of it.
        ratio = whole_s / half_s if whole_s > 0.002 else 1.0
        is_over |= ratio > MOST_RATIO
        print(f"{name:32} {one.size:>10,} {half_s:>9.4f} {whole_s:>9.4f} {ratio:>6.2f}")
    sys.exit(1 if is_over else 0)


if __name__ == "__main__":
    main()
