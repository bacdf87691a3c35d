"""Values on the line of an action, each a literal or a template, and `key=value` pairs.

Above: `scanner.py`, which reads them, and the verbs. Below: templates, and the parameters that take them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from samovar.errors import Place
from samovar.expressions.operators import LEAST, MOST
from samovar.language.parameters import Parameter
from samovar.language.pieces import tokenize
from samovar.language.template import Template
from samovar.language.written_values import as_written
from samovar.values import is_finite, read_json

LOOP_OPTIONS = ("at_once", "collect", "on_failure")
"""The keys of pairs that a `for each` takes beside its list."""
OF_RETRIES = ("retries", "backoff")
"""The keys of pairs that say how often an action is performed again, which any may have (`retries.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value that an action names: a literal, or a template to fill when the action is performed."""

    template: Template
    quoted: bool
    """It is in quotes."""
    place: Place
    given: object = field(default=None, compare=False)
    """What the literal means; None if the template must be filled."""
    is_text: bool = field(default=False, compare=False)
    """It is a text whatever is filled in: it is in quotes and is not exactly one `${…}`."""

    @property
    def is_literal(self) -> bool:
        """What it is can be known before the run."""
        return self.template.is_plain

    @property
    def names(self) -> frozenset[str]:
        """The variables it reads."""
        return self.template.names

    @property
    def written(self) -> str | None:
        """How a bare literal is written, as `1.10` for 1.1; None for anything else."""
        return self.template.text if self.is_literal and not self.quoted else None

    def of(self, variables: Mapping[str, object], *, is_option: bool = False) -> object:
        """The value now, with its type; to an option `"{{ list }}"` is the list. Raises `TemplateError`."""
        if self.is_literal:
            return self.given
        is_text = self.is_text and not is_option
        return self.template.fill(variables) if is_text else self.template.value(variables)

    def text(self, variables: Mapping[str, object]) -> str:
        """Its text now. Raises `TemplateError`."""
        return self.template.fill(variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`key=value`."""

    key: str
    value: Value
    place: Place
    """Place of the key."""


def map_in(text: str) -> dict[str, object] | None:
    """The map that a text of JSON is; None for any other text."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def whole_number(value: object) -> int | None:
    """The whole number that a value is, or that a text spells."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value) if len(value) < 10 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def changed_in(template: Template) -> str | None:
    """What would not be kept as written of a bare value that is JSON, also with values in it."""
    if template.is_plain:
        return changed_by_reading(template.fill({}).strip())
    text = template.text.strip()
    if not text.startswith(("{", "[")):
        return None
    tokens = tokenize(text, template.place, template.rules)
    # A number can stand wherever a value does, in a text of JSON or by itself.
    pieces = (f"{number}" if one.kind in _HELD else one.text for number, one in enumerate(tokens, _STANDS_IN))
    try:
        read_json("".join(pieces), parse_int=str, parse_float=str, object_pairs_hook=_each_once)
    except _ChangedError as error:
        return str(error)
    except (ValueError, RecursionError):
        pass
    return changed_by_reading(text)


_HELD = ("value", "path", "output")
_STANDS_IN = 731_000_000_000
"""A number that no key has."""


def changed_by_reading(text: str) -> str | None:
    """What would not be kept as written if the text were read as JSON; None for any other text."""
    if text in ("NaN", "Infinity", "-Infinity"):
        return None  # a text
    try:
        read_json(text, parse_int=str, parse_float=str)  # what is JSON only at its beginning is a text
        read_json(text, parse_int=_kept_int, parse_float=_kept_float, parse_constant=_no_number,
                  object_pairs_hook=_each_once)  # fmt: skip
    except _ChangedError as error:
        return str(error)
    except (ValueError, RecursionError):
        return None
    return None


class _ChangedError(Exception):
    """Says what is changed."""


_TOO_LARGE = "is too large: a whole number has at most 64 bits. Put it in quotes to keep its text"


def _kept_int(text: str) -> int:
    if len(text) > _MOST_DIGITS or not LEAST <= int(text) <= MOST:
        raise _ChangedError(f"The number {text[:40]} {_TOO_LARGE}.")
    return int(text)


_MOST_DIGITS = 20
"""Digits of a whole number with 64 bits, its sign counted."""


def _kept_float(text: str) -> float:
    if not is_finite(float(text)):
        raise _ChangedError(f"The number {text[:40]} {_TOO_LARGE}.")
    return float(text)


def _no_number(name: str) -> object:
    raise _ChangedError(f"{name} is not a JSON number. Put it in quotes to keep its text.")


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _ChangedError(f"The key {key[:40]!r} appears twice in this map. Keep one of them.")
        seen.add(key)
    return dict(pairs)


def as_taken(
    pairs: Sequence[Pair], given: Mapping[str, object], parameters: Sequence[Parameter]
) -> dict[str, object]:
    """The values of pairs as the parameters take them: one that takes a text gets what was written."""
    written = {pair.key: pair.value.written for pair in pairs}
    return as_written(given, parameters, lambda name, *steps: None if steps else written.get(name))
