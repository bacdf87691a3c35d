"""The language page is true: every example of its tables is performed, and every workflow in it is run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from samovar.actions.question import YES, Question, Reply
from samovar.checks.checking import check_workflow
from samovar.errors import Fault, FaultsError, Place, UsageError
from samovar.expressions.expression import Expression
from samovar.expressions.functions import KNOWN
from samovar.language.labels import read_label
from samovar.language.mermaid import parse_diagram
from samovar.language.parameter_list import read_parameters
from samovar.language.parameters import bind
from samovar.language.template import Template
from samovar.language.yaml_document import read_yaml
from samovar.running.runner import RunnerSettings
from tests.bench import Bench, Idle, Told
from tests.doc_page import DocPage, assert_cases_pass, codes

pytestmark = pytest.mark.anyio

LANGUAGE = DocPage("language")
PAGE, rows = LANGUAGE.text, LANGUAGE.rows
HERE = Place(path=None, line=1)
VARIABLES = yaml.safe_load(re.search(r"^```yaml\n(n: .*?)^```$", PAGE, re.S | re.M)[1])  # type: ignore[index]
CHILD = "[*] --> Double\nDouble --> [*]"
CHILD_FRONT = "parameters: [{name: x, type: number}]"


async def performed(
    folder: Path, action: str, before: str = "Wait 0 s", said: str = "Yes, of course."
) -> dict[str, object]:
    """The variables after a workflow that does nothing else; `log` and others stand for what was seen.

    `said`: what its prompts are answered.
    """
    bench, asked = Bench(folder), list[str]()

    async def ask(question: Question) -> Reply:
        asked.append(question.text)
        return YES

    idle = Idle(ask)
    bench.settings = RunnerSettings(folder=folder, outside=idle)
    bench.write("child", CHILD, "Double: Set doubled := x * 2", CHILD_FRONT)
    diagram, actions = "[*] --> Talk\nTalk --> A\nA --> [*]", f"Talk: {before}\nA: {action}"
    workflow = bench.write("w", diagram, actions, rest="## Prompts\n\n### ask\n\n{{ topic }}?\n")
    faults = [one for one in check_workflow(workflow, bench.library) if one.code != "unset-variable"]
    assert not [fault for fault in faults if fault.severity == "error"]
    run = await bench.run(workflow, Told([said] * 2), **VARIABLES)
    assert run.ending is not None
    seen = {"log": bench.log, "waited": sum(idle.waits), "asked": "".join(asked), "ending": run.ending.value}
    return {**run.variables, **seen}


def examples() -> Iterator[tuple[str, str]]:
    for _, example, then in rows("form | example | then"):
        yield codes(example)[0], then
    for example, then in rows("example | then"):
        yield codes(example)[0], then


@pytest.mark.parametrize(("example", "then"), list(examples()))
async def test_what_an_action_does_is_true(example: str, then: str, tmp_path: Path) -> None:
    variables = await performed(tmp_path, example)
    for condition in codes(then):
        assert Expression.parse(condition, HERE).evaluate(variables) is True, condition


@pytest.mark.parametrize("options", [codes(row[2])[0] for row in rows("`using` | | example")])
async def test_every_option_of_a_prompt_is_taken(options: str, tmp_path: Path) -> None:
    begun = 'Prompt "Hello." using session="talk"'
    said = '{"urgent":true,"team":"billing"}' if "schema" in options else "Yes, of course."
    variables = await performed(tmp_path, f'Prompt "x" result="v" using {options}', begun, said)
    assert variables["ending"] == "completed"
    assert str(variables["v"]) == said


@pytest.mark.parametrize(("kind", "labels"), rows("taken | labels"), ids=lambda cell: cell[:20])
def test_a_label_is_what_the_page_says(kind: str, labels: str) -> None:
    for label in codes(labels):
        meaning = read_label(label, HERE)
        condition = meaning.condition
        assert meaning.when.value == kind.partition(":")[0], label
        if condition is not None:
            variables = {**VARIABLES, "result": "YES", "failure": False}
            assert condition.evaluate(variables) is True, label


@pytest.mark.parametrize(("texts", "values"), rows("expression | value"), ids=lambda cell: cell[:20])
def test_an_expression_has_the_value_that_the_page_says(texts: str, values: str) -> None:
    variables = {**VARIABLES, "failure": False}
    expressions, wanted = codes(texts), codes(values)
    assert len(expressions) >= len(wanted) >= 1
    for text, value in zip(expressions, wanted, strict=False):
        found = Expression.parse(text, HERE).evaluate(variables)
        assert repr(found) == repr(json.loads(value)), text


def test_every_function_is_on_the_page() -> None:
    section = PAGE.partition("## Expressions\n")[2].partition("\n## ")[0]
    assert [name for name in KNOWN - {"existsOne"} if not re.search(rf"\b{re.escape(name)}\b", section)] == []


@pytest.mark.parametrize(("texts", "right"), rows("instead of | write"))
def test_what_other_languages_write_is_told_as_the_page_says(texts: str, right: str) -> None:
    for text in codes(texts):
        with pytest.raises(FaultsError) as caught:
            Expression.parse(text, HERE)
        assert codes(right)[0] in caught.value.faults[0].message


@pytest.mark.parametrize(("texts", "gives"), rows("text | gives"))
def test_a_template_gives_what_the_page_says(texts: str, gives: str) -> None:
    for text in codes(texts):
        assert Template.parse(text, HERE).fill(VARIABLES) == codes(gives)[0]


@pytest.mark.parametrize(("parameter", "takes", "refuses"), rows("parameter | takes | refuses"))
def test_a_parameter_takes_and_refuses_what_the_page_says(parameter: str, takes: str, refuses: str) -> None:
    entries = [
        read_yaml(codes(parameter)[0], path=None).values,
        {"name": "n", "type": "number", "default": 3},
    ]
    parameters, faults = read_parameters(entries, lambda *steps: HERE)
    assert not faults
    for value in codes(takes):
        assert "x" in bind(parameters, {"x": value}, ask=None)
    for value in codes(refuses):
        with pytest.raises(UsageError):
            bind(parameters, {"x": value}, ask=None)


def diagrams(section: str) -> Iterator[str]:
    begin = PAGE.index(section)
    for row in PAGE[begin : PAGE.index("\n\n", begin + len(section) + 2)].splitlines():
        if row.startswith("| `"):
            yield from codes(row.split(" | ")[0])


def read(statement: str) -> tuple[Fault, ...]:
    lines = ["stateDiagram-v2", *statement.replace("{ ", "{\n").replace(" }", "\n}").split("\n")]
    diagram = parse_diagram(list(enumerate(lines, start=1)), path=None, line=1)
    assert not diagram.faults, statement
    return diagram.hints


def test_every_statement_of_a_diagram_is_read() -> None:
    statements = [one for one in diagrams("| statement | |") if one not in ("--", "[*]")]
    assert len(statements) >= 8
    assert [statement for statement in statements if read(statement)] == []


def test_what_mermaid_does_not_read_is_read_with_a_hint() -> None:
    statements = list(diagrams("| also read | |"))
    assert len(statements) >= 10
    assert [statement for statement in statements if not read(statement)] == []


@pytest.mark.parametrize(("workflow", "case"), LANGUAGE.workflows(), ids=lambda text: text[:20])
def test_every_workflow_does_what_its_case_says(
    workflow: str, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_cases_pass(workflow, case, tmp_path, capsys)
