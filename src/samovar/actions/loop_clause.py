"""Reads `for each NAME in EXPRESSION` on the line of an action, and its options.

Above: `for_each.py`, and anyone who reads the lines of actions. Below: the scanner and expressions. The
clause is taken out of the line before its verb is read, so that no verb knows of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from samovar.actions.given import Pair, Value, map_in
from samovar.actions.measures import count
from samovar.actions.scanner import Scanner
from samovar.expressions.expression import Expression
from samovar.expressions.names import end_of_name, normal, why_unreadable
from samovar.language.template import Rules, Template
from samovar.values import to_text

MOST_AT_ONCE = 256
"""Items that are worked on together."""
AT_ONCE = count("at_once", 1, MOST_AT_ONCE)
_CLAUSE = re.compile(r"(?<!\S)for\s+each\b", re.IGNORECASE)
_IN = re.compile(r"\s+in\b", re.IGNORECASE)
_NEARLY = re.compile(r"(?<!\S)(?P<said>(?:[^\W\d]+\s+)?[^\W\d]+)\s+[^\W\d]\w*\s+in\s", re.IGNORECASE)
_OTHER_WORDS = ("for", "foreach", "for every", "for all", "each")
_LEAST_ALIKE = 0.75
ARGUMENTS = "args"
"""Behind a `for each`: a map of what the target's own parameters get, whatever their names are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopClause:
    """`for each NAME in EXPRESSION`."""

    name: str
    """The variable that an item is in."""
    items: Expression

    @property
    def index_name(self) -> str:
        """The variable that the number of an item is in, from 0 on."""
        return f"{self.name}_index"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """What comes after a clause and belongs to it."""

    at_once: Value | None = None
    collect: str | None = None
    goes_on: bool = False


def take_clause(line: Scanner) -> LoopClause | None:
    """Takes the clause out of the line of an action, with blanks in its place; None: there is none."""
    if _CLAUSE.search(line.text, line.at) is None:
        return None
    found = line.outside(_CLAUSE)
    if found is None:
        return None
    begin, line.at = line.at, found.start()
    clause = read_clause(line)
    taken = re.sub(r"\S", " ", line.text[found.start() : line.at])
    line.text = line.text[: found.start()] + taken + line.text[line.at :]
    line.at = begin
    line.loop_options = {}
    return clause


def refuse_misspelt(line: Scanner) -> None:
    """Raises `FaultsError` for what was surely meant as a clause: `for eahc x in xs`, `for x in xs`."""
    if _NEARLY.search(line.text, line.at) is None:
        return
    found = line.outside(_NEARLY)
    said = "" if found is None else " ".join(found["said"].lower().split())
    if found is None or said == "for each":
        return
    if said in _OTHER_WORDS or SequenceMatcher(None, said, "for each").ratio() >= _LEAST_ALIKE:
        line.fail(f"{found['said']!r} is not `for each`. Did you mean 'for each'?", found.start())


def read_clause(line: Scanner) -> LoopClause:
    """Reads the clause that begins here."""
    line.word("for")
    line.word("each")
    line.blanks()
    begin, end = line.at, end_of_name(line.text, line.at)
    name = normal(line.text[begin:end])
    if not name:
        line.fail(f"The name of an item is expected, as in `for each file in files`, {line.found()}.")
    if why := why_unreadable(name):
        line.note("action-syntax", why, line.where(begin))
    behind = _IN.match(line.text, end)
    if behind is None:
        line.at = end
        line.fail(f"`in` and a list are expected, as in `for each {name} in files`, {line.found()}.")
    items, line.at = Expression.parse_first(line.text, behind.end(), line.place)
    return LoopClause(name=name, items=items)


def read_options(line: Scanner) -> LoopOptions:
    """What `Scanner.pair` has taken aside. Faults are noted on the line."""
    given = line.loop_options or {}
    at_once = given["at_once"].value if "at_once" in given else None
    AT_ONCE.check(line, at_once)
    collect = line.variable(given["collect"]) if "collect" in given else None
    return LoopOptions(at_once=at_once, collect=collect, goes_on=_goes_on(line, given.get("on_failure")))


def _goes_on(line: Scanner, pair: Pair | None) -> bool:
    if pair is None:
        return False
    word = to_text(pair.value.given).lower() if pair.value.is_literal else ""
    if word not in ("collect", "fail"):
        message = "`on_failure` must be `collect` (continue, and keep a record of each item) or `fail`."
        line.note("option-value", message, pair.value.place)
    return word == "collect"


def with_arguments(line: Scanner, pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """The arguments of a target, those of `args={…}` among them. Faults are noted on the line."""
    found: list[Pair] = []
    for pair in pairs:
        if pair.key == ARGUMENTS:
            found += _arguments(line, pair)
        else:
            found.append(pair)
    keys = [pair.key for pair in found]
    for pair in found:
        if keys.count(pair.key) > 1 and pair.place != found[keys.index(pair.key)].place:
            line.note("action-syntax", f"{pair.key!r} is given twice.", pair.place)
    return tuple(found)


def _arguments(line: Scanner, pair: Pair) -> list[Pair]:
    read = map_in(pair.value.template.text)
    if read is None:
        message = '`args` must be a map of values for the parameters, as in args={"result": "${file}"}.'
        line.note("option-value", message, pair.value.place)
        return []
    return [Pair(key=key, value=_value(line, one, pair), place=pair.place) for key, one in read.items()]


def _value(line: Scanner, given: object, pair: Pair) -> Value:
    place = pair.value.place
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    template = Template.parse(text, place, Rules(is_old=line.is_old))
    if not isinstance(given, str) and template.is_plain:
        return Value(template=template, quoted=False, place=place, given=given)
    filled = template.fill({}) if template.is_plain else None
    is_text = isinstance(given, str) and not template.is_value
    return Value(template=template, quoted=True, place=place, given=filled, is_text=is_text)
