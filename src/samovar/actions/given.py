"""What is given in the line of an action: values, each a literal or a template, and `key=value` pairs.

Above: `scanner.py`, which reads them, and the verbs. Below: templates, and the parameters that take them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from samovar.errors import Place
from samovar.language.parameters import Parameter, as_written
from samovar.language.template import Template

LOOP_OPTIONS = ("at_once", "collect", "on_failure")
"""The keys of pairs that a `for each` takes beside its list."""
OF_RETRIES = ("retries", "backoff")
"""The keys of pairs that say how often an action is performed again, which any may have (`retries.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value that an action names: a literal, or a template to fill when the action is performed."""

    template: Template
    quoted: bool
    """It stands in quotes."""
    place: Place
    given: object = field(default=None, compare=False)
    """What the literal means; None where the template must be filled."""
    is_text: bool = field(default=False, compare=False)
    """It is a text whatever is filled in: it stands in quotes and is not exactly one `${…}`."""

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
    """Of the key."""


def as_taken(
    pairs: Sequence[Pair], given: Mapping[str, object], parameters: Sequence[Parameter]
) -> dict[str, object]:
    """The values of pairs as the parameters take them: one that takes a text gets what was written."""
    written = {pair.key: pair.value.written for pair in pairs}
    return as_written(given, parameters, lambda name, *steps: None if steps else written.get(name))
