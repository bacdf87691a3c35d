"""What makes published templates what they are: each feature renders as by the reference's rules."""

# ruff: noqa: E501 - in templates a line break would be text
from __future__ import annotations

import pytest
from benchmarks.templates import (
    BOTH,
    DIFFERENT,
    FOLDED_IN,
    ODD,
    PARTS,
    PLAIN,
    REFUSED,
    SAME,
    by_the_rules,
    conversations,
    outcome,
)
from hypothesis import given
from hypothesis import strategies as st

EACH = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
FEATURES = {
    "a namespace": """{%- set ns = namespace(system='', n=0) -%}
{%- for m in messages -%}
  {%- if m['role'] == 'system' -%}{%- set ns.system = m['content'] -%}
  {%- else -%}{%- set ns.n = ns.n + 1 -%}{{ ns.n ~ ns.system + m['content'] }}{%- set ns.system = '' -%}{%- endif -%}
{%- endfor -%}""",
    "slices and sets": """{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}
{% set loop_messages = messages[1:] %}{% else %}{% set system = '' %}{% set loop_messages = messages %}{% endif %}
{{ bos_token + system }}{% for m in loop_messages %}
{{ '[INST] ' + m.content.strip() + ' [/INST]' if loop.first else m.content }}
{% if loop.last and add_generation_prompt %}{{ eos_token }}{% endif %}{% endfor %}""",
    "dates, and JSON with options": """{{ strftime_now('%d %b %Y') }}{% for m in messages %}
{{ m | tojson(indent=2) }}{{ m.content | tojson(ensure_ascii=True) }}{{ {'b': 1, 'a': m.role} | tojson(sort_keys=True) }}
{{ [m.role, 1.5, none, true] | tojson(separators=(',', ':')) }}{{ m.content }}{% endfor %}""",
    "macros": """{% macro turn(role, text, end='<end>', prefix=none) -%}
<{{ role }}>{{ prefix if prefix is not none }}{{ text }}{{ end }}
{%- endmacro %}{% for m in messages %}{{ turn(m.role, m.content, prefix='>') }}{{ caller is defined }}{% endfor %}""",
    "loop controls": """{% for m in messages %}{% if m.role == 'nobody' %}{% continue %}{% endif %}
{{ m.content }}{% if loop.index > 9 %}{% break %}{% endif %}{% endfor %}""",
    "what is not there": """{% if tools is not none and tools %}tools{% endif %}{% if documents %}documents{% endif %}
{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}
{% if not add_generation_prompt is defined %}x{% endif %}{{ date_string | default('26 Jul 2024') }}
{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}calls{% endif %}
{% if m.get('name') %}x{% endif %}{{ reasoning_effort or 'medium' }}{{ m.content }}{% endfor %}""",
    "texts or parts": """{% for m in messages %}{% if m.content is string %}{{ m.content }}
{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}""",
    "methods of texts": """{% for m in messages %}{{ m.content.split('</never>')[-1].lstrip('\\n') }}
{{ m.role.upper() + m.content[:1].title() }}{{ m.content.replace('zzz', '').rstrip() }}
{% if m.content.startswith('never') or '</never>' in m.content %}x{% endif %}{% endfor %}""",
    "filters": """{% for m in messages | selectattr('role', 'in', ['system', 'user', 'assistant']) %}
{{ m.content | trim }}{{ m.items() | list | length }}{{ ['a', m.role] | join('-') }}{% endfor %}
{{ messages | map(attribute='role') | list }}{{ (messages | last).role }}{{ messages | groupby('role') | length }}""",
    "generation, and neighbours": """{% for m in messages %}{% generation %}{% set x = 1 %}{{ m.content }}{% endgeneration %}
{{ loop.previtem.role if loop.previtem is defined }}{{ loop.nextitem.role if not loop.last }}{{ loop.revindex0 }}
{{ loop.cycle('a', 'b') }}{{ x is defined }}{% endfor %}""",
    "trimming of blocks": """
  {%- if true %}
    a  {{- ' b' }}
  {% endif %}
  {#- a note -#}
\t{% for m in messages %}
\t\t{{ m.content }}
  {% endfor %}\n""",
    "reversed and counted": """{% set ns = namespace(last=-1) %}{% for m in messages[::-1] %}{% set i = messages | length - 1 - loop.index0 %}
{% if ns.last == -1 and m.role == 'user' %}{% set ns.last = i %}{% endif %}{% endfor %}
{% for m in messages %}{{ ns.last - loop.index0 }}{{ m.content }}{% endfor %}""",
}  # fmt: skip
CALLS = {
    "only parts": (
        "{% for m in messages %}{{ m.role }}:{% for part in m.content %}{{ part['text'] }}{% endfor %}{% endfor %}",
        PARTS,
    ),
    "no system message": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + EACH,
        FOLDED_IN,
    ),
    "in turns": (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}",
        FOLDED_IN,
    ),
    "the system message is left out": (
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
        FOLDED_IN,
    ),
    "no system message, and only parts": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "{% for m in messages %}{% for part in m.content %}{{ part['text'] }}{% endfor %}{% endfor %}",
        FOLDED_IN,
    ),
    "only for tools": ("{% for tool in tools %}{{ tool }}{% endfor %}" + EACH, REFUSED),
    "everything is left out": ("always the same", REFUSED),
}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("texts", [PLAIN, ODD], ids=["plain", "odd"])
def test_each_feature_renders_as_by_the_reference_s_rules(feature: str, texts: tuple[str, ...]) -> None:
    source = FEATURES[feature]
    for case, turns in conversations(texts).items():
        assert outcome(by_the_rules(source), turns, source) == (SAME, ""), case


@pytest.mark.slow
@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=4, max_size=4))
def test_any_contents_render_as_by_the_reference_s_rules(texts: list[str]) -> None:
    for feature in ("a namespace", "dates, and JSON with options", "texts or parts", "trimming of blocks"):
        source = FEATURES[feature]
        render = by_the_rules(source)
        for turns in conversations(texts).values():
            assert outcome(render, turns, source)[0] == SAME


@pytest.mark.parametrize("name", CALLS)
def test_what_the_reference_cannot_render_is_made_to_fit_or_is_refused(name: str) -> None:
    source, expected = CALLS[name]
    what, why = outcome(by_the_rules(source), conversations(PLAIN)["su"], source)
    assert what == expected and why
    assert DIFFERENT != what != BOTH
