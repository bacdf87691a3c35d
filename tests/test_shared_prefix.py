"""Prompts whose changing values stand before fixed text are named; ordinary ones are not."""

from __future__ import annotations

import pytest

from samovar.checks.checking import check_workflow
from tests.bench import Bench

RULES = "Follow these rules. " * 20
LOOP = "[*] --> Ask\nAsk --> Next\nNext --> Ask: n < 3\nNext --> [*]: default"
LINE = "[*] --> Ask\nAsk --> [*]"
TWO = "[*] --> Ask\nAsk --> Again\nAgain --> [*]"
COUNT = "Next: Set n := n + 1"


def found(
    bench: Bench, diagram: str, actions: str, prompt: str, front: str = "parameters: [{name: n}, {name: p}]"
) -> list[str]:
    rest = f"## Prompts\n\n### ask\n\n{prompt}\n"
    workflow = bench.write("w", diagram, actions, front, rest)
    return [
        f"{fault.place.line}:{fault.place.column} {fault.message}"
        for fault in check_workflow(workflow, bench.library)
        if fault.code == "prefix-broken"
    ]


USE = 'Ask: Execute prompt "ask"'


@pytest.mark.parametrize(
    ("diagram", "actions", "prompt"),
    [
        (LOOP, f"{USE}\n{COUNT}", f"Step {{{{ n }}}}. {RULES}"),
        (LOOP, f'{USE} with topic="${{n}}"\n{COUNT}', f"{{{{ topic }}}}: {RULES}"),
        (TWO, f'{USE} with topic=a\nAgain: Execute prompt "ask" with topic=b', f"{{{{ topic }}}}: {RULES}"),
        (LINE, USE, f"It is {{{{ 'now' | date: '%Y' }}}}. {RULES}"),
        (LOOP, f'Ask: Prompt "Step ${{n}}. {RULES}"\n{COUNT}', "unused"),
    ],
    ids=["variable", "argument", "two uses", "date", "inline"],
)
def test_a_changing_value_before_fixed_text_is_named(
    bench: Bench, diagram: str, actions: str, prompt: str
) -> None:
    (message,) = found(bench, diagram, actions, prompt)
    assert "fixed text" in message
    assert "Move the fixed text above it." in message


@pytest.mark.parametrize(
    ("diagram", "actions", "prompt"),
    [
        (LOOP, f"{USE}\n{COUNT}", f"{RULES} Step {{{{ n }}}}."),
        (LOOP, f"{USE}\n{COUNT}", "Summarise step {{ n }} in two sentences, and be kind."),
        (LOOP, f"{USE}\n{COUNT}", f"{{{{ p }}}} is a parameter, the same all the time. {RULES}"),
        (LINE, f"{USE}\n{COUNT}".split("\n")[0], f"{{{{ n }}}} once only. {RULES}"),
        (LOOP, f"{USE} with n=1\n{COUNT}", f"{{{{ n }}}} is always 1 here. {RULES}"),
        (LOOP, f'{USE} using session="s"\n{COUNT}', f"Step {{{{ n }}}}. {RULES}"),
    ],
    ids=["behind", "short", "parameter", "once", "literal", "session"],
)
def test_ordinary_prompts_are_not(bench: Bench, diagram: str, actions: str, prompt: str) -> None:
    assert found(bench, diagram, actions, prompt) == []


def test_the_system_prompt_is_that_of_all_prompts(bench: Bench) -> None:
    front = f"system: 'Step {{{{ n }}}}. {RULES}'"
    assert len(found(bench, LOOP, f'Ask: Prompt "x"\n{COUNT}', "unused", front)) == 1
