"""The text of an action: in quotes on its line, or in a fenced block below it, which is kept as written.

Above: the verbs that have a text. Below: `scanner.py`. In a block nothing is escaped; `${…}` and Liquid are
read in it as in the same text in quotes.
"""

from __future__ import annotations

from samovar.actions.given import Value
from samovar.actions.scanner import Scanner
from samovar.language.template import Rules, Template


def text_follows(line: Scanner, verb: str) -> bool:
    """Whether a text in quotes is behind the verb, for it begins sentences too in older files."""
    return line.text[line.at :].lstrip()[len(verb) :].lstrip()[:1] in ("'", '"')


def expect_text(line: Scanner, what: str, *, shell: bool = False) -> Value:
    """Takes the text of the action. Raises `FaultsError` if there is none."""
    value = line.quoted(shell=shell) or taken_block(line, shell=shell)
    if value is None:
        line.fail(f"{what} is expected in quotes, or in a block below the line; {line.found()}.")
    return value


def taken_block(line: Scanner, *, shell: bool = False, ends: str = "") -> Value | None:
    """Takes the block below the line if there is one. `ends`: what its last line ends with."""
    if line.block is None:
        return None
    block, line.block = line.block, None
    template = Template.parse(block.text + ends, block.place, Rules(shell=shell))
    given = template.fill({}) if template.is_plain else None
    return Value(template=template, quoted=True, place=block.place, given=given, is_text=True)
