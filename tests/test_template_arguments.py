"""The arguments of chat templates: which one takes, and which of them turns reasoning off and on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from samovar.engines.llama.arguments import Arguments
from samovar.engines.llama.dialect import Dialect
from samovar.errors import EngineError


def arguments(source: str) -> Arguments:
    dialect = Dialect(source, datetime.now)
    return Arguments(source=source, names=dialect.arguments, builtins=dialect.builtins)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{{ messages }}{{ bos_token }}{% if tools %}{{ documents }}{% endif %}", set()),
        ("{% if enable_thinking is defined and enable_thinking is false %}x{% endif %}", {"enable_thinking"}),
        ("{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ thinking }}", {"thinking"}),
        ("{% set effort = effort | default('medium') %}{{ effort }}", {"effort"}),
        ("{% set ns = namespace(enable_thinking=true) %}{{ ns.enable_thinking }}", set()),
        ("{% for m in messages %}{% if m.x %}{% set c = 1 %}{% endif %}{{ c }}{% endfor %}", set()),
        ("{% for key in keys %}{{ key }}{% endfor %}", {"keys"}),
        ("{% macro f(x) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}", {"y"}),
        ("{{ strftime_now('%d') }}{{ range(3) }}{{ raise_exception }}", set()),
    ],
)
def test_an_argument_is_what_a_template_looks_up_before_it_sets_it(source: str, names: set[str]) -> None:
    assert arguments(source).names == names


@pytest.mark.parametrize(
    ("source", "off", "on"),
    [
        (
            "{{ enable_thinking }}",
            {"enable_thinking": False},
            {"enable_thinking": True},
        ),  # Qwen3, GLM, SmolLM3
        ("{{ thinking }}", {"thinking": False}, {"thinking": True}),  # DeepSeek V3.1, Granite
        ("{{ reasoning }}", {"reasoning": False}, {"reasoning": True}),  # Command A
        ("{{ thinking_budget }}", {"thinking_budget": 0}, {"thinking_budget": -1}),  # Seed-OSS
        (
            "{{ thinking_mode == 'disabled' or thinking_mode == \"enabled\" }}",
            {"thinking_mode": "disabled"},
            {"thinking_mode": "enabled"},
        ),
        (
            "{{ reasoning_effort in ['none', 'high'] }}",
            {"reasoning_effort": "none"},
            {"reasoning_effort": "high"},
        ),
    ],
)
def test_think_sets_the_argument_that_the_template_has(
    source: str, off: dict[str, Any], on: dict[str, Any]
) -> None:
    taken = arguments(source)
    assert taken.checked({}, False, always_thinks=False) == off
    assert taken.checked({}, True, always_thinks=True) == on
    assert taken.checked({}, None, always_thinks=False) == {}


GPT_OSS = "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'medium' %}{% endif %}"


def test_where_only_the_effort_can_be_set_off_is_an_error_that_says_so_and_on_is_so_already() -> None:
    taken = arguments(GPT_OSS)
    assert taken.checked({}, True, always_thinks=True) == {}
    assert taken.checked({"reasoning_effort": "low"}, True, always_thinks=True) == {"reasoning_effort": "low"}
    with pytest.raises(EngineError, match=r'always has the model think.*\{"reasoning_effort": "low"\}'):
        taken.checked({}, False, always_thinks=True)
    with pytest.raises(EngineError, match="It uses: reasoning_effort"):
        taken.checked({"enable_thinking": False}, None, always_thinks=True)
