"""Answers of a form in workflows: schemas by name and shown, typed values, what check knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import samovar
from samovar.cli.checking import faults_of
from samovar.cli.testing import CasesArguments, run_tests
from samovar.engines.scripted import Script
from samovar.generation import Message
from samovar.language.schema_words import shown_schema
from samovar.language.schemas import read_schema
from samovar.python.runs import RunReport
from samovar.values import Record

pytestmark = pytest.mark.anyio

FLOW = """---
title: Sorting
parameters: [{{name: mail, default: My invoice is wrong}}]
---

```mermaid
stateDiagram-v2
    [*] --> Judge
{edges}
```

## Actions

- Judge: Prompt "Sort this: ${{mail}}" result="verdict" using {using}
{actions}

## Schemas

### verdict

```yaml
urgent: boolean
team: billing|support
lines: [integer]
reason: text?
```
"""
EDGES = """    Judge --> Bill: verdict.team == "billing"
    Judge --> Help: verdict.team == "support"
    Bill --> [*]
    Help --> [*]"""
ACTIONS = '- Bill: Log "${verdict.urgent} ${verdict.lines[0]}"\n- Help: Log "help"'


def flow(
    folder: Path, *, edges: str = EDGES, actions: str = ACTIONS, using: str = 'schema="verdict"'
) -> Path:
    path = folder / "sorting.md"
    path.write_text(FLOW.format(edges=edges, actions=actions, using=using), encoding="utf-8")
    return path


def script(said: str, seen: list[str] | None = None) -> Script:
    def answer(messages: Sequence[Message]) -> str:
        if seen is not None:
            seen.append(messages[-1].content)
        return said

    return answer


def states(run: RunReport) -> list[str]:
    return [visit.name for visit in run.visits]


def part(run: RunReport, name: str) -> object:
    value = run.variables["verdict"]
    assert isinstance(value, Record)
    return value.part(name)


async def test_the_fields_of_an_answer_are_typed_values(tmp_path: Path) -> None:
    seen: list[str] = []
    said = '{"urgent":true,"team":"billing","lines":[3,4]}'
    async with samovar.open(script=script(said, seen)) as app:
        run = await app.run(flow(tmp_path))
    assert states(run) == ["Judge", "Bill"]
    assert run.variables["verdict"] == said
    assert part(run, "urgent") is True and part(run, "lines") == [3, 4]
    assert run.result == "true 3" or run.variables["verdict"] == said
    assert seen == [
        "Sort this: My invoice is wrong\n\nAnswer with JSON of this form: "
        '{"urgent": boolean, "team": "billing" | "support", "lines": [integer, …], '
        '"reason": text (may be left out)}'
    ]


async def test_a_schema_is_not_shown_if_nobody_wants_that(tmp_path: Path) -> None:
    seen: list[str] = []
    path = flow(tmp_path, using='schema="verdict" show_schema=false')
    async with samovar.open(script=script('{"urgent":true,"team":"support","lines":[]}', seen)) as app:
        await app.run(path)
    assert seen == ["Sort this: My invoice is wrong"]


async def test_a_random_model_takes_one_of_the_edges(tmp_path: Path, tiny_model: Path) -> None:
    path = flow(tmp_path, using='schema="{team: billing|support}" temperature=1.4', actions='- Bill: Log "b"')
    async with samovar.open(model=str(tiny_model), context_tokens=2048) as app:
        ends = {states(await app.run(path, seed=seed))[-1] for seed in range(12)}
    assert ends == {"Bill", "Help"}


async def test_an_answer_that_is_cut_off_takes_the_failure_edge(tmp_path: Path, tiny_model: Path) -> None:
    edges = "    Judge --> Cut: failure\n    Judge --> [*]\n    Cut --> [*]"
    actions = '- Cut: Log "${error.kind}"'
    path = flow(tmp_path, edges=edges, actions=actions, using='schema="verdict" max_tokens=5')
    async with samovar.open(model=str(tiny_model), context_tokens=2048) as app:
        run = await app.run(path)
    assert states(run) == ["Judge", "Cut"]
    assert run.visits[0].error is not None and run.visits[0].error.code == "cut-off"
    assert "verdict" not in run.variables


async def test_a_schema_that_is_no_object_gives_its_value(tmp_path: Path) -> None:
    edges = "    Judge --> [*]"
    path = flow(tmp_path, edges=edges, actions="", using='schema="{type: array, items: {type: integer}}"')
    async with samovar.open(script=script("[1,2]")) as app:
        run = await app.run(path)
    assert run.variables["verdict"] == [1, 2]


def codes(path: Path) -> list[tuple[str, str]]:
    return [(fault.code, fault.message) for fault in faults_of(path) if fault.severity == "error"]


def test_a_workflow_that_keeps_to_its_schema_has_no_fault(tmp_path: Path) -> None:
    assert codes(flow(tmp_path)) == []


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ('verdict.team == "biling"', '"billing"'),
        ('verdict.tem == "billing"', "team"),
        ("verdict.urgent == 'yes'", "verdict.urgent"),
        ("verdict.lines == 3", "verdict.lines"),
        ("verdict.nothing", "nothing"),
    ],
)
def test_check_knows_the_fields_and_what_they_can_be(tmp_path: Path, condition: str, says: str) -> None:
    edges = EDGES.replace('verdict.team == "billing"', condition)
    found = codes(flow(tmp_path, edges=edges))
    assert found and says in found[0][1], found


@pytest.mark.parametrize(
    ("using", "code", "says"),
    [
        ('schema="verdikt"', "unknown-schema", "'verdict'"),
        ('schema="{a: bolean}"', "option-value", "not 'bolean'. Did you mean 'boolean'?"),
        ('schema="none.json"', "unknown-schema", "none.json"),
        ('regex="(?=a)"', "unenforceable-form", "look-around"),
        ('grammar="start: x"', "unenforceable-form", "unknown name"),
        ('schema="{type: object, properties: {a: {not: {}}}}"', "unenforceable-form", "`not`"),
        ('schema="verdict" regex="a"', "option-value", "one form"),
        ('schema="verdict" stop="a"', "option-value", "its JSON does"),
    ],
)
def test_what_cannot_be_is_refused_before_the_run(tmp_path: Path, using: str, code: str, says: str) -> None:
    found = codes(flow(tmp_path, edges="    Judge --> [*]", actions="", using=using))
    assert [one for one, _ in found] == [code] and says in found[0][1], found
    assert not found[0][1].endswith("?.")


async def test_a_run_refuses_what_check_refuses(tmp_path: Path) -> None:
    path = flow(tmp_path, edges="    Judge --> [*]", actions="", using='regex="(?=a)"')
    async with samovar.open(script=script("x")) as app:
        with pytest.raises(samovar.FaultsError, match="look-around"):
            await app.run(path)


@pytest.mark.parametrize("name", ["form.json", "form.yaml"])
async def test_a_schema_may_be_a_file_beside_the_workflow(tmp_path: Path, name: str) -> None:
    text = '{"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false}'
    (tmp_path / name).write_text(text if name.endswith("json") else "n: integer\n", encoding="utf-8")
    path = flow(tmp_path, edges="    Judge --> [*]: verdict.m == 1", actions="", using=f'schema="{name}"')
    assert "no part 'm'" in codes(path)[0][1] or "'m'" in codes(path)[0][1]


async def test_a_value_names_a_schema_of_the_file_and_never_a_file(tmp_path: Path) -> None:
    (tmp_path / "form.json").write_text('{"type": "boolean"}', encoding="utf-8")
    path = flow(tmp_path, edges="    Judge --> [*]", actions="", using='schema="${mail}"')
    async with samovar.open(script=script('{"urgent":false,"team":"support","lines":[]}')) as app:
        run = await app.run(path, {"mail": "verdict"})
        assert part(run, "team") == "support"
        run = await app.run(path, {"mail": "form.json"})
        assert run.error is not None and "below `## Schemas`" in run.error.message


def test_what_the_short_form_cannot_say_is_shown_as_it_is() -> None:
    assert shown_schema({"allOf": [{"type": "string"}]}) == '{"allOf":[{"type":"string"}]}'
    schema = read_schema("{name: {type: string, maxLength: 9, description: of the city}, at: {n: number}}")
    assert shown_schema(schema) == ('{"name": text (at most 9 characters; of the city), "at": {"n": number}}')


@pytest.mark.parametrize(
    ("edges", "says"),
    [
        (
            EDGES.replace('    Judge --> Help: verdict.team == "support"\n', ""),
            "`verdict.team` may be `support`",
        ),
        ("    Judge --> Bill: verdict.urgent\n    Bill --> [*]", "`verdict.urgent` may be `false`"),
        ('    Judge --> Bill: verdict.team in ["billing"]\n    Bill --> [*]', "`support`"),
    ],
)
def test_a_value_of_an_answer_without_an_edge_is_an_error(tmp_path: Path, edges: str, says: str) -> None:
    found = codes(flow(tmp_path, edges=edges, actions='- Bill: Log "b"'))
    assert [code for code, _ in found] == ["value-without-edge"] and says in found[0][1]


@pytest.mark.parametrize(
    "edges",
    [
        "    Judge --> Bill: verdict.urgent\n    Judge --> Bill: default\n    Bill --> [*]",
        "    Judge --> Bill: verdict.urgent\n    Judge --> Bill: !verdict.urgent\n    Bill --> [*]",
        '    Judge --> Bill: verdict.team != "x1" || size(mail) > 3\n    Bill --> [*]',
        "    Judge --> Bill: verdict.lines[0] > 3\n    Bill --> [*]",
    ],
)
def test_edges_that_take_every_value_or_depend_on_more_are_left_alone(tmp_path: Path, edges: str) -> None:
    found = codes(flow(tmp_path, edges=edges, actions='- Bill: Log "b"'))
    assert "value-without-edge" not in [code for code, _ in found]


async def test_a_script_that_says_no_json_is_held_to_the_schema_too(tmp_path: Path) -> None:
    async with samovar.open(script=script("What?")) as app:
        run = await app.run(flow(tmp_path))
    assert run.variables["verdict"] == '{"urgent":false,"team":"billing","lines":[]}'


@pytest.mark.parametrize(
    ("told", "is_right"),
    [
        ('{"urgent": true, "team": "billing", "lines": [1]}', True),
        ('{"urgent": true, "team": "sales", "lines": [1]}', False),
        ('{"urgent": true}', False),
        ("yes", False),
    ],
)
def test_the_answer_of_a_case_is_judged_by_the_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], told: str, is_right: bool
) -> None:
    path = flow(tmp_path)
    case = f"cases:\n  - name: one\n    answers: {{Judge: '{told}'}}\n    expect: {{ending: completed}}\n"
    (tmp_path / "sorting.test.yaml").write_text(case, encoding="utf-8")
    status = run_tests(
        CasesArguments(paths=(path,), only=None, coverage_min=None, junit=None, lenient=False, as_json=False)
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert (status == 0) is is_right, shown
    assert is_right or "does not match its schema" in shown
