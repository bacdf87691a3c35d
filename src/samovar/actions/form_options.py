"""The options of a prompt that its answer is held by: `choices`, `schema`, `regex`, `grammar`.

Above: `options.py` and the Python API, whose options these are. Below: `language/schemas.py`. Whether a form
can be enforced only the engine knows.
"""

from __future__ import annotations

from collections.abc import Collection

from samovar.generation import FORMS
from samovar.language.schemas import read_schema, schema_text
from samovar.values import is_utf8


def read_json_schema(value: object) -> str:
    """A schema, as JSON."""
    return schema_text(read_schema(value))


def read_form(value: object) -> str:
    """A regular expression, or a grammar."""
    if not isinstance(value, str) or not value or not is_utf8(value):
        raise ValueError("a text that is not empty")
    return value


HOLDS = ("choices", *FORMS)
"""The options that an answer is held by."""


def held_twice(given: Collection[str]) -> tuple[str, str] | None:
    """Which of the options that are given cannot go with another of them, and why; None if all can."""
    holds = [name for name in HOLDS if name in given]
    if len(holds) > 1:
        return holds[1], f"`{holds[0]}` and `{holds[1]}` cannot go together: an answer has one form."
    if holds and "stop" in given:
        return "stop", f"`{holds[0]}` and `stop` cannot go together: the answer ends where {_END[holds[0]]}."
    return None


_END = {
    "choices": "the choice does",
    "schema": "its JSON does",
    "regex": "it can match no more",
    "grammar": "the grammar does",
}
