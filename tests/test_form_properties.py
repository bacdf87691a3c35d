"""Answers of generated schemas and expressions are valid, as jsonschema and Python's `re` judge them."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from random import Random
from typing import Any

import pytest

from samovar.engines.llama.model import LlamaModel
from samovar.errors import EngineError
from samovar.generation import Options
from tests.on_tiny import loaded
from tests.test_forms import answer, hot

jsonschema = pytest.importorskip("jsonschema")  # among the packages for tests

pytestmark = pytest.mark.anyio

BATCH = 100
PATTERNS = ("^[a-z]{2,4}$", "^[A-Z][0-9]{1,3}(-[xyz])?$", "^(on|off|[0-9]{2})$")
FORMATS = ("date", "time", "uuid", "ipv4")


def schema_of(random: Random, deep: int = 0) -> dict[str, Any]:
    """A schema whose texts and lists are bounded."""
    simple = [_boolean, _null, _integer, _number, _text, _text, _pattern, _format, _enum, _const]
    return random.choice(
        simple if deep >= 3 else [*simple, _list, _object, _object, _tuple, _any_of, _all_of]
    )(random, deep)


def _boolean(random: Random, deep: int) -> dict[str, Any]:
    return {"type": "boolean"}


def _null(random: Random, deep: int) -> dict[str, Any]:
    return {"type": random.choice(["null", ["null", "boolean"]])}


def _integer(random: Random, deep: int) -> dict[str, Any]:
    least = random.randint(-300, 300)
    found: dict[str, Any] = {"type": "integer"}
    found[random.choice(["minimum", "exclusiveMinimum"])] = least
    found[random.choice(["maximum", "exclusiveMaximum"])] = least + random.randint(10, 5000)
    return found | ({"multipleOf": random.choice([2, 5])} if random.random() < 0.2 else {})


def _number(random: Random, deep: int) -> dict[str, Any]:
    least = random.choice([-1.5, 0, 0.25, 7])
    return {"type": "number", "minimum": least, "maximum": least + random.choice([1, 2.5, 1000])}


def _text(random: Random, deep: int) -> dict[str, Any]:
    least = random.randint(0, 4)
    return {"type": "string", "minLength": least, "maxLength": least + random.randint(0, 9)}


def _pattern(random: Random, deep: int) -> dict[str, Any]:
    return {"type": "string", "pattern": random.choice(PATTERNS)}


def _format(random: Random, deep: int) -> dict[str, Any]:
    return {"type": "string", "format": random.choice(FORMATS)}


def _values(random: Random) -> list[Any]:
    values: list[Any] = [
        "a",
        'b"c',
        "é\n",
        "",
        "漢",
        3,
        -2.5,
        True,
        None,
        [1, "x"],
        {"k": [None]},
        "<|im_end|>",
    ]
    return random.sample(values, random.randint(1, 5))


def _enum(random: Random, deep: int) -> dict[str, Any]:
    return {"enum": _values(random)}


def _const(random: Random, deep: int) -> dict[str, Any]:
    return {"const": _values(random)[0]}


def _list(random: Random, deep: int) -> dict[str, Any]:
    least = random.randint(0, 2)
    return {
        "type": "array",
        "items": schema_of(random, deep + 1),
        "minItems": least,
        "maxItems": least + random.randint(0, 3),
    }


def _tuple(random: Random, deep: int) -> dict[str, Any]:
    items = [schema_of(random, deep + 1) for _ in range(random.randint(1, 3))]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _object(random: Random, deep: int) -> dict[str, Any]:
    names = random.sample(["a", "b c", "é", 'q"', "type", "properties", "x-1"], random.randint(0, 4))
    properties = {name: schema_of(random, deep + 1) for name in names}
    required = [name for name in names if random.random() < 0.6]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _any_of(random: Random, deep: int) -> dict[str, Any]:
    return {"anyOf": [schema_of(random, deep + 1) for _ in range(random.randint(1, 3))]}


def _all_of(random: Random, deep: int) -> dict[str, Any]:
    return {"allOf": [_text(random, deep), {"type": "string", "maxLength": 30}]}


async def _judged(model: LlamaModel, schema: dict[str, Any], seed: int) -> str:
    options = Options(schema=json.dumps(schema), sampling=hot(seed), max_tokens=1500)
    try:
        said, end = await answer(model, options)
    except EngineError as error:
        assert "Unsatisfiable" in str(error), (schema, error)
        return "refused"
    if end.cut is not None:
        return "cut"
    value = json.loads(said)
    checker = jsonschema.FormatChecker(formats=("date", "ipv4", "uuid"))
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)
    return "whole"


@pytest.mark.parametrize("batch", range(5))
async def test_every_whole_answer_of_a_generated_schema_is_valid(tiny_model: Path, batch: int) -> None:
    async with loaded(tiny_model, 2048) as model:
        numbers = range(batch * BATCH, (batch + 1) * BATCH)
        ends = [await _judged(model, schema_of(Random(number)), number) for number in numbers]
    assert ends.count("whole") >= 0.95 * BATCH, {end: ends.count(end) for end in ends}


def regex_of(random: Random, deep: int = 0) -> str:
    """An expression of what Python and the engine read alike, with bounded repetition."""
    kind = random.choice(
        ("text", "class", "digit") if deep >= 3 else ("text", "class", "or", "group", "join", "join")
    )
    if kind == "text":
        return re.escape("".join(random.choices(string.ascii_letters + "é .-/", k=random.randint(1, 4))))
    if kind == "class":
        return random.choice(["[a-f]", "[^a-f\\n]", "[0-9A-F]", "[éà]", "."]) + random.choice(
            ["", "?", "{1,3}", "{2}"]
        )
    if kind == "digit":
        return "[0-9]{1,4}"
    if kind == "or":
        return f"({regex_of(random, deep + 1)}|{regex_of(random, deep + 1)})"
    if kind == "group":
        return f"(?:{regex_of(random, deep + 1)})" + random.choice(["", "?", "{1,2}", "{0,3}"])
    return regex_of(random, deep + 1) + regex_of(random, deep + 1)


async def test_every_answer_of_a_generated_expression_matches_the_whole_of_it(tiny_model: Path) -> None:
    async with loaded(tiny_model, 1024) as model:
        for number in range(200):
            regex = regex_of(Random(number))
            said, end = await answer(model, Options(regex=regex, sampling=hot(number), max_tokens=400))
            assert end.cut is None and re.fullmatch(regex, said), (regex, said, end)
