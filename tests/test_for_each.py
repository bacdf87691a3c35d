"""`for each`: what is done for each item of a list, together and one after the other, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from samovar.events import Ending
from tests.bench import Bench, Told, paths

pytestmark = pytest.mark.anyio

ONE = """[*] --> Each
Each --> [*]"""
INSIDE = """[*] --> Each
state Each {
    [*] --> Write
    Write --> [*]
}
Each --> [*]"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_prompt_is_asked_for_each_item_and_the_answers_come_in_the_order_of_the_list(
    bench: Bench,
) -> None:
    workflow = bench.write("w", ONE, 'Each: Prompt "Look at ${f}" for each f in ["x", "y"] result="seen"')
    told = Told(["a", "b"])
    run = await bench.run(workflow, told)
    assert run.ending is Ending.COMPLETED
    assert run.variables["seen"] == run.variables["result"] == ["a", "b"]
    assert [one.messages[-1].content for one in told.requests] == ["Look at x", "Look at y"]
    assert paths(run) == ["Each", "Each[0]", "Each[1]"]


async def test_the_inside_of_a_composite_is_performed_for_each_item_with_variables_of_its_own(
    bench: Bench,
) -> None:
    actions = """Each: For each x in [1, 2, 3] collect="row" result="rows"
    Write: Set row := x * 10 + x_index"""
    run = await bench.run(bench.write("w", INSIDE, actions))
    assert run.variables["rows"] == [10, 21, 32]
    assert {"x", "x_index", "row"}.isdisjoint(run.variables)
    assert paths(run) == ["Each", *(f"Each[{number}]/Write" for number in range(3))]
