"""The options of a prompt that constrain its answer: `choices`, `schema`, `regex`, `grammar`.

Above: `options.py` and the Python API, whose options these are. Below: `language/schemas.py`. Whether a form
can be enforced only the engine knows.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from samovar.errors import UsageError, nearest
from samovar.files import read_text
from samovar.generation import FORMS
from samovar.language.schemas import FORMS as SCHEMA_FORMS
from samovar.language.schemas import read_schema, read_schema_source, schema_text
from samovar.language.workflow import Workflow
from samovar.values import is_utf8, to_text


def read_choices(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        texts = [text.strip() for text in value.split("|")]
    elif isinstance(value, list | tuple):
        texts = [to_text(item) for item in value]
    else:
        texts = [to_text(value)]
    if not all(texts) or not texts:
        raise ValueError('texts separated by |, none of them empty, as in "yes|no"')
    if not all(map(is_utf8, texts)):
        raise ValueError(WHOLE_TEXTS)
    return tuple(dict.fromkeys(texts))


WHOLE_TEXTS = "texts without lone surrogates, which are halves of characters"
"""What an answer can be compared with, in words."""


def read_json_schema(value: object) -> str:
    """A schema, as JSON."""
    return schema_text(read_schema(value))


def read_schema_option(value: object) -> str:
    """A schema as JSON, or the name or the file of one, as written; see `found_schema`."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        if not _NAME.fullmatch(value.strip()):
            raise ValueError(f"{SCHEMA_FORMS}; or the name of one below `## Schemas`, or a file")
        return value.strip()
    return read_json_schema(value)


def found_schema(option: str, workflow: Workflow, *, may_be_file: bool) -> str:
    """The schema, as JSON, that an option's value means in a workflow.

    A value that only the run knows cannot name a file. Raises `ValueError` saying what was expected.
    """
    if option.startswith("{"):
        return option
    if option in workflow.schemas:
        return schema_text(workflow.schemas[option])
    if may_be_file and option.endswith(_FILES):
        try:
            return schema_text(read_schema_source(read_text((workflow.folder or Path()) / option)))
        except UsageError as error:
            raise ValueError(f"a file with a schema: {error.message}") from None
    near = nearest(option, workflow.schemas)
    raise ValueError(f"the name of a schema below `## Schemas`, or a file that ends in .json or .yaml.{near}")


_NAME = re.compile(r"[^\s{}\[\]\"'|]{1,200}(?: [^\s{}\[\]\"'|]{1,200}){0,9}")
_FILES = (".json", ".yaml", ".yml")


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
        return holds[1], f"`{holds[0]}` and `{holds[1]}` cannot be combined: an answer has one form."
    if holds and "stop" in given:
        return "stop", f"`{holds[0]}` and `stop` cannot be combined: the answer ends where {_END[holds[0]]}."
    return None


_END = {
    "choices": "the choice does",
    "schema": "its JSON does",
    "regex": "nothing more can match",
    "grammar": "the grammar does",
}
