"""What a workflow returns: to standard output, to programs, and to the workflow that runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from samovar.errors import FaultsError
from samovar.events import Ending
from tests.bench import Bench
from tests.test_cli import samovar, write

pytestmark = pytest.mark.anyio
LINE = "[*] --> A\nA --> [*]"
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
        ("returns: {a: {type: number}}", "a name, a list of names"),
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
