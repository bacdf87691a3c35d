"""Rows from a program: `run_rows`, which runs a workflow once for each."""

from __future__ import annotations

from typing import Any

import pytest

import samovar
from samovar.errors import UsageError

pytestmark = pytest.mark.anyio

TEXT = """---
parameters: [{name: name, required: true}, {name: age, type: number, default: 3}]
---
```mermaid
stateDiagram-v2
[*] --> A
A --> B
B --> [*]
```

## Actions

- A: Set half := 12 / age
- B: Set result := name + " " + string(half)
"""


async def test_each_row_is_a_run_and_they_come_back_in_the_order_of_the_rows() -> None:
    rows = [{"name": f"n{number}", "age": number} for number in range(1, 7)]
    async with samovar.open() as app:
        found = await app.run_rows(TEXT, iter(rows), at_once=3)
    assert [one.result for one in found] == ["n1 12", "n2 6", "n3 4", "n4 3", "n5 2", "n6 2"]
    assert len({one.id for one in found}) == 6 and found[0].figures is not None


async def test_a_row_that_fails_stops_no_other_and_no_rows_are_no_runs() -> None:
    text = TEXT
    async with samovar.open() as app:
        same = {"name": "all", "age": 4}
        found = await app.run_rows(text, [{}, {"age": 0}, {"name": "own"}], same)
        assert [str(one.ending) for one in found] == ["completed", "failed", "completed"]
        assert [found[0].result, found[2].result] == ["all 3", "own 3"]
        assert await app.run_rows(text, []) == []


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (
            [{"name": "a"}, {"nmae": "b"}],
            {},
            r"rows\[1\]: The workflow has no parameter 'nmae'.* mean 'name'",
        ),
        ([{"name": "a"}, {"age": 1}], {}, r"rows\[1\]: Required parameters are missing"),
        ([{"name": "a", "age": "old"}], {}, r"rows\[0\]: The parameter 'age' cannot be 'old'"),
        ([3], {}, r"rows\[0\] of run_rows\(\) cannot be 3: expected a mapping"),
        (3, {}, r"rows of run_rows\(\) cannot be 3: expected a list"),
        ([{"name": "a"}], {"at_once": 0}, r"at_once of run_rows\(\) cannot be 0"),
        ([{"name": "a"}], {"at_once": True}, r"at_once of run_rows\(\) cannot be True"),
        ([{"name": "a"}], {"handle": samovar.RunHandle()}, r"handle is for one run"),
    ],
)
async def test_what_cannot_be_is_said_before_any_row_is_run(rows: Any, options: Any, said: str) -> None:
    heard: list[object] = []
    async with samovar.open() as app:
        with pytest.raises(UsageError, match=said):
            await app.run_rows(TEXT, rows, on_event=heard.append, **options)
    assert not heard


def test_without_an_event_loop_rows_are_run_as_well() -> None:
    with samovar.open_blocking() as app:
        found = app.run_rows(TEXT, [{"name": "a"}, {"name": "b"}])
    assert [one.result for one in found] == ["a 4", "b 4"]
