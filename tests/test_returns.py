"""What a workflow returns: to standard output, to programs, and to the workflow that runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samovar.checks.checking import check_workflow
from samovar.errors import FaultsError
from samovar.events import Ending
from tests.bench import Bench, Told
from tests.test_cli import samovar, write

pytestmark = pytest.mark.anyio
LINE = "[*] --> A\nA --> [*]\nA --> B: failure\nB --> [*]"
SET = 'A: Set a := 1, b := "x", result := "r"'


@pytest.mark.parametrize(
    ("returns", "result"),
    [
        ("returns: a", 1),
        ("returns: result", "r"),
        ("returns: [b, a]", {"b": "x", "a": 1}),
        ("returns: {a: How many, b: ''}", {"a": 1, "b": "x"}),
        ("parameters: [{name: p}]\nreturns: [a, p]", {"a": 1, "p": None}),
        ("", "r"),
    ],
)
async def test_a_run_gives_what_its_workflow_returns(tmp_path: Path, returns: str, result: object) -> None:
    run = await Bench(tmp_path).run(Bench(tmp_path).write("w", LINE, SET, returns))
    assert run.result == result


async def test_a_sub_workflow_gives_what_it_returns_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write("one", LINE, SET, "returns: a")
    bench.write("some", LINE, SET, "returns: [a, b]")
    diagram = "[*] --> A\nA --> B\nB --> C\nC --> [*]"
    actions = 'A: Run workflow "one" result="x"\nB: Run workflow "some" result="y"\nC: Set z := x + y.a'
    run = await bench.run(bench.write("w", diagram, actions))
    assert run.ending is Ending.COMPLETED, run.error
    assert [run.variables[name] for name in "xyz"] == [1, {"a": 1, "b": "x"}, 2]


@pytest.mark.parametrize(
    ("returns", "said"),
    [
        ("returns: bb", "'bb', which nothing sets"),
        ("returns: [a, a]", "twice"),
        ("returns: []", "a name, a list of names"),
        ("returns: 3", "a name, a list of names"),
        ("returns: [{a: 1}]", "a name, a list of names"),
        ("returns: {a: [number]}", "a name, a list of names"),
        ("returns: {a: {type: nmber}}", "Did you mean 'number'?"),
        ("returns: {a: {type: number, default: 3}}", "`default` is for parameters"),
        ("returns: {a: {type: list, items: txt}}", "Did you mean 'text'?"),
        ("returns: {bb: {type: number}}", "'bb', which nothing sets"),
        ("parameters: [{name: p, secret: true}]\nreturns: p", "'p', which is secret"),
        ("return: a", "Did you mean 'returns'?"),
    ],
)
def test_what_cannot_be_returned_is_found_before_the_run(tmp_path: Path, returns: str, said: str) -> None:
    try:
        faults = Bench(tmp_path).write("w", LINE, SET, returns).warnings
    except FaultsError as error:
        faults = error.faults
    assert [fault for fault in faults if said in fault.message]


def test_what_is_returned_goes_to_standard_output(tmp_path: Path) -> None:
    write(tmp_path, LINE, f"- {SET}", "returns: [a, b]")
    assert json.loads(samovar(tmp_path, "run", "w.md").stdout) == {"a": 1, "b": "x"}
    assert json.loads(samovar(tmp_path, "run", "w.md", "--json").stdout)["result"] == {"a": 1, "b": "x"}


TYPED = """returns:
  a: {type: integer, description: How many, min: 1}
  b: {type: choice, choices: [x, y]}
  p: {type: list, items: text, required: false}
parameters: [{name: p}]"""


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ('A: Set a := 1, b := "x"', None),
        ('A: Set a := 1, b := "x", p := ["q"]', None),
        ('A: Set b := "x"\nB: Set a := 1', "`a` must be a whole number, not null."),
        ('A: Set a := json("0"), b := "x"', "`a` must be at least 1."),
        ('A: Set a := json("1.5"), b := "x"', "`a` must be a whole number, not 1.5."),
        ('A: Set a := 1, b := json("\\"z\\"")', '`b` must be one of "x", "y", not "z".'),
        ('A: Set a := 1, b := "x", p := json("[1]")', "`p[0]` must be a text, not 1."),
        ('A: Set a := 1, b := "x", p := "q"', '`p` must be a list, not "q".'),
    ],
)
async def test_a_value_of_another_type_is_a_failure_when_the_run_ends(
    actions: str, said: str | None, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    run = await bench.run(bench.write("w", LINE, actions, TYPED))
    if said is None:
        assert run.ending is Ending.COMPLETED, run.error
        assert isinstance(run.result, dict)
        return
    assert (run.ending, run.result) == (Ending.FAILED, None)
    assert run.error is not None
    assert (run.error.code, run.error.place and run.error.place.line) == ("returns", 3 + "abp".index(said[1]))
    assert said in run.error.message


async def test_a_sub_workflow_that_returns_another_type_fails_the_state_that_runs_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write("child", LINE, 'A: Set a := json("\\"one\\"")', "returns: {a: {type: number}}")
    diagram = "[*] --> A\nA --> B: error.kind == 'returns'\nA --> [*]\nB --> [*]"
    run = await bench.run(bench.write("w", diagram, 'A: Run workflow "child"\nB: Log "${error.place}"'))
    assert run.ending is Ending.COMPLETED, run.error
    assert bench.log == [f"{tmp_path}/child.md:2:11"]


async def test_an_answer_is_a_text_whatever_parts_it_has(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    front = "returns: {a: {type: string, pattern: '[a-z]+', max_length: 5}}"
    workflow = bench.write("w", LINE, 'A: Prompt "x" result="a"', front)
    assert (await bench.run(workflow, Told(["hello"]))).result == {"a": "hello"}
    assert (await bench.run(workflow, Told(["Hello!"]))).ending is Ending.FAILED


@pytest.mark.parametrize(
    ("actions", "kind", "said"),
    [
        ('A: Set a := "x"', "number", "`a` is a text, but must be"),
        ("A: Set a := 1.5", "integer", "`a` is a fractional number, but must be a whole number"),
        (
            'A: Prompt "x" result="a" using choices="yes|no"',
            "choice, choices: [ja, nein]",
            "one of the texts",
        ),
        ('A: Prompt "x" result="a" using schema="{n: integer}"', "map, fields: {n: text}", "`a.n` is"),
        (
            'A: Prompt "x" result="a" using schema="{model: boolean}"',
            "map, fields: {model: text}",
            "`a.model` is",
        ),
        ('A: Prompt "x" result="a"', "map, fields: {dropped_messages: text}", None),
        ('A: Read "x" result="a"', "map, fields: {size_bytes: text}", None),
        ('A: Set a := 1\nB: Set a := "x"', "number", None),
        ('A: Shell "x" result="a"', "string", None),
    ],
)
def test_a_type_that_a_value_can_never_have_is_found_before_the_run(
    actions: str, kind: str, said: str | None, tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    workflow = bench.write("w", LINE, actions, f"returns: {{a: {{type: {kind}}}}}")
    found = [one for one in check_workflow(workflow, bench.library) if one.severity == "error"]
    if said is None:
        assert not found
    else:
        (fault,) = found
        assert (fault.code, fault.place.line) == ("type-mismatch", 2)
        assert said in fault.message


async def test_an_answer_of_a_schema_is_returned_as_a_map(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    front = "returns: {a: {type: map, fields: {n: integer}}}"
    workflow = bench.write("w", LINE, 'A: Prompt "x" result="a" using schema="{n: integer}"', front)
    run = await bench.run(workflow, Told(['{"n":3}']))
    assert run.result == {"a": {"n": 3}}
