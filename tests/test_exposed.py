"""A workflow that says `expose: true`: how it is read, listed and checked, and what it is as a tool."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from samovar.checks.checking import check_workflow
from samovar.errors import FaultsError
from samovar.language.tool_schemas import input_schema, output_of, output_schema, tool_name
from tests.bench import Bench
from tests.test_cli import samovar, write

LINE = "[*] --> A\nA --> [*]"
SET = "A: Set a := 1"
FULL = """description: Counts.
expose: true
parameters: [{name: n, type: integer, required: true, description: How many., min: 1}]
returns: {a: {type: integer}}"""


def test_a_workflow_is_exposed_only_if_it_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.write("w", LINE, SET, "expose: true").exposed is not None
    for front in ("", "expose: false"):
        assert bench.write("w", LINE, SET, front).exposed is None
    for front in ("expose: maybe", "expose: [true]", "expose: 1"):
        with pytest.raises(FaultsError, match="`expose` must be true or false"):
            bench.write("w", LINE, SET, front)


def test_the_list_says_which_workflows_are_tools(tmp_path: Path) -> None:
    folder = tmp_path / ".samovar" / "workflows"
    folder.mkdir(parents=True)
    for name, front in (("shown", FULL), ("kept", "description: Not one.")):
        write(folder, LINE, f"- {SET}", front).rename(folder / f"{name}.md")
    shown = samovar(tmp_path, "list").stdout
    assert shown.count("is a tool for other programs") == 1
    listed = {
        one["name"]: one["is_exposed"]
        for one in json.loads(samovar(tmp_path, "list", "--json").stdout)["workflows"]
    }
    assert listed["shown"] is True and listed["kept"] is False and not listed["summarise"]


def codes(bench: Bench, front: str, name: str = "w") -> list[tuple[str, str, int]]:
    workflow = bench.write(name, LINE, SET, front)
    faults = check_workflow(workflow, bench.library)
    return [(one.code, one.message, one.place.line) for one in faults if one.code.startswith("exposed")]


def test_check_says_what_a_client_sees_of_what_is_not_explained(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert codes(bench, FULL) == []
    assert codes(bench, "parameters: [{name: n}]") == []
    found = codes(bench, "expose: true\nparameters:\n  - {name: n}\n  - {name: m, type: integer}")
    assert [(code, line) for code, _, line in found] == [
        ("exposed-unclear", 2),
        ("exposed-unclear", 2),
        ("exposed-unclear", 4),
        ("exposed-unclear", 5),
    ]
    said = "\n".join(message for _, message, _ in found)
    assert "the tool 'w' without a description" in said
    assert (
        "'n' as a text of no stated type, without a description. Write its `type` and `description`." in said
    )
    assert "'m' as a number, without a description. Write its `description`." in said
    assert "a `result` of any type" in said


@pytest.mark.parametrize(
    ("name", "front", "said"),
    [
        ("run_status", FULL, "'run_status' is a tool of Samovar's own"),
        ("größe", FULL, "cannot be called 'größe'"),
        ("w", f"{FULL}\n".replace("integer, required", "string, secret: true, required"), "no client gives"),
    ],
)
def test_check_warns_of_a_tool_that_nobody_can_use(tmp_path: Path, name: str, front: str, said: str) -> None:
    front = front.replace(", min: 1", "")
    found = codes(Bench(tmp_path), front, name)
    assert [code for code, message, _ in found if said in message] == ["exposed-in-vain"]


def test_the_name_of_a_tool_has_neither_slashes_nor_blanks() -> None:
    assert tool_name("team/by day") == "team.by-day"


PARAMETERS = """parameters:
  - {name: n, type: integer, required: true, min: 1, description: How many.}
  - {name: tone, type: choice, choices: [plain, warm], default: plain}
  - {name: tags, type: list, items: text}
  - {name: key, secret: true, from_env: KEY}
  - {name: why, required: true, condition: "n > 2"}
"""


def test_parameters_are_the_arguments_of_the_tool_and_secrets_are_not(tmp_path: Path) -> None:
    schema = input_schema(Bench(tmp_path).write("w", LINE, SET, PARAMETERS))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == ["n", "tone", "tags", "why"]
    assert schema["required"] == ["n"] and schema["additionalProperties"] is False
    assert schema["properties"]["tone"] == {"enum": ["plain", "warm"], "default": "plain"}
    for right in ({"n": 1}, {"n": 3, "tags": ["a"], "tone": "warm"}):
        jsonschema.validate(right, schema)
    for wrong in ({}, {"n": 0}, {"n": 1, "key": "x"}, {"n": "1"}, {"n": 1, "tags": "a"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize(
    ("returns", "result", "output"),
    [
        ("", "text", {"result": "text"}),
        ("", None, {"result": None}),
        ("", {"a": 1}, {"result": {"a": 1}}),
        ("returns: a", 3, {"result": 3}),
        ("returns: a", {"b": 1}, {"result": {"b": 1}}),
        ("returns: [a, b]", {"a": 1, "b": None}, {"a": 1, "b": None}),
        ("returns: {a: {type: integer}}", {"a": 1}, {"a": 1}),
        ("returns: {a: {type: integer, required: false}}", {"a": None}, {"a": None}),
    ],
)
def test_what_a_run_gives_has_the_form_that_the_tool_states(
    tmp_path: Path, returns: str, result: object, output: object
) -> None:
    workflow = Bench(tmp_path).write("w", LINE, f"{SET}, b := 2", returns)
    schema = output_schema(workflow)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert output_of(workflow, result) == output
    jsonschema.validate(output, schema)


def test_a_result_of_another_type_is_refused_by_the_schema(tmp_path: Path) -> None:
    workflow = Bench(tmp_path).write("w", LINE, SET, "returns: {a: {type: integer}}")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"a": None}, output_schema(workflow))
