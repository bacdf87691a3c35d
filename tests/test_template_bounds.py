"""A chat template does no more than a real one would: steps and sizes are counted, and it is blamed."""

from __future__ import annotations

from datetime import datetime

import pytest

from samovar.engines.llama import bounds
from samovar.engines.llama.bounds import MOST_STEPS, STEPS_PER_CHARACTER, Bounds, TooMuchError
from samovar.engines.llama.dialect import Dialect
from samovar.errors import EngineError


def rendered(source: str, content: str = "x") -> str:
    return Dialect(source, datetime.now).render([{"role": "user", "content": content}], {})


DOUBLED = "{% set ns = namespace(a=START) %}{% for i in range(60) %}{% set ns.a = STEP %}{% endfor %}"


def doubled(start: str, step: str) -> str:
    return DOUBLED.replace("START", start).replace("STEP", step)


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(9999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) if i > 5 %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{{ 'x' * 30000000000 }}",
        "{{ 30000000000 * 'x' }}",
        "{% set n = 30000000000 %}{{ [1] * n }}",
        "{{ 'x' | center(30000000000) }}",
        "{% set n = 30000000000 %}{{ 'x'.ljust(n) }}",
        "{{ '%30000000000d' % 1 }}",
        "{{ '%*d' % (30000000000, 1) }}",
        "{{ '{:>30000000000}'.format(1) }}",
        "{{ '{:>{w}}'.format(1, w=30000000000) }}",
        "{{ '%30000000000d' | format(1) }}",
        "{% set big = 'x' * 1000000 %}{{ big.replace('x', big) }}",
        "{% set big = 'x' * 1000000 %}{{ big | replace('x', big) }}",
        "{% set big = 'x' * 1000000 %}{{ range(99999) | join(big) }}",
        "{% set big = 'x' * 1000000 %}{{ range(99999) | map('string') | join(big) }}",
        "{% set big = 'x' * 1000000 %}{{ big.join(big) }}",
        "{% set big = 'x' * 1000000 %}{% for i in range(99999) %}{{ big }}{% endfor %}",
        "{% set n = 'x' * 1000000 %}{% set y %}{% for i in range(99999) %}{{ n }}{% endfor %}{% endset %}",
        "{% set n = 99999999 %}{{ 9 ** n }}",
        doubled("'x'", "ns.a + ns.a"),
        doubled("'x'", "ns.a ~ ns.a"),
        doubled("[1]", "ns.a + ns.a"),
        doubled("[1]", "[ns.a, ns.a]"),
        doubled("[1]", "{'a': ns.a, 'b': ns.a}"),
        doubled("[1]", "dict(a=ns.a, b=ns.a)"),
        doubled("[1]", "(ns.a, ns.a)"),
        doubled("7", "ns.a * ns.a"),
        doubled("'x'", "'%s%s' % (ns.a, ns.a)"),
        doubled("'x'", "'{}{}'.format(ns.a, ns.a)"),
        doubled("'x'", "[ns.a, ns.a] | join"),
    ],
)
def test_a_template_that_loops_or_multiplies_is_blamed(source: str) -> None:
    with pytest.raises(EngineError, match=r"chat template exceeds a limit( \(line 1\))?: "):
        rendered(source)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ lipsum(n=10000000) }}", "does not exist"),
        ("{% set n = 9999 %}{{ 10 ** n }}", "chat template"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "failed"),
        ("{{ range(100000000) | list }}", "failed"),
        ("{{ messages[0].content.encode('idna').decode('ascii') }}{{ 'x'.encode('nothing') }}", "failed"),
        ("{{ namespace().a.b }}", "does not exist"),
        ("{{ cycler() }}", "failed"),
        ("{% set a = messages | map('nothing') | list %}", "chat template"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "chat template"),
    ],
)
def test_whatever_fails_in_a_template_is_one_kind_of_error(source: str, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        rendered(source)


def test_a_real_template_s_loops_and_texts_are_far_from_the_limits() -> None:
    source = (
        "{% set ns = namespace(out='') %}{% for letter in messages[0].content %}"
        "{% if loop.last %}{{ loop.length }} {{ loop.revindex }}{% endif %}{% endfor %}"
        "{% for i in range(500) %}{% set ns.out = ns.out + (i | string) ~ ',' %}{% endfor %}"
        "{{ ns.out | length }}"
    )
    assert rendered(source, "word " * 40_000) == "200000 11890"


def test_long_messages_may_take_more() -> None:
    content = "x" * 5_000_000
    assert (
        rendered("{{ (messages[0].content + messages[0].content) | replace('y', 'no') }}", content)
        == content * 2
    )


def test_steps_are_counted_exactly() -> None:
    spent = Bounds(10)
    spent.spend(MOST_STEPS + 10 * STEPS_PER_CHARACTER)
    with pytest.raises(TooMuchError):
        spent.spend()


def test_a_rendering_that_takes_long_ends_by_the_thread_s_own_clock() -> None:
    clock = iter([0.0, bounds.MOST_CPU_S, bounds.MOST_CPU_S + 1])
    spent = Bounds(0, cpu_clock=lambda: next(clock))
    for _ in range(2 * bounds.CLOCK_STEPS - 1):
        spent.spend()
    with pytest.raises(TooMuchError, match="takes more than"):
        spent.spend()


def test_each_rendering_begins_anew() -> None:
    dialect = Dialect("{% for i in range(90000) %}{% endfor %}x", datetime.now)
    for _ in range(20):
        assert dialect.render([{"role": "user", "content": "x"}], {}) == "x"
