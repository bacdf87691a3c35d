"""The file that results of rows are added to: whole lines, none twice, and only to a file of such lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from samovar.cli.row_output import RowFileOutput, open_output
from samovar.errors import UsageError
from samovar.generation import TokenCounts
from samovar.journal.base import RunStatus
from samovar.journal.row_key import KeptRow, RowKey
from samovar.language.workflow import Workflow
from samovar.running.prepared import Prepared
from samovar.running.rows import RowDone, RowTask
from tests.bench import Bench

ONE = "[*] --> A\nA --> [*]"


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    return Bench(tmp_path).write("w", ONE, 'A: Log "x"')


def done(workflow: Workflow, index: int, key: str, *, run: str = "", status: str = "completed") -> RowDone:
    """A row as the journal has it."""
    task = RowTask(
        index=index,
        where=f"r.csv:{index + 2}",
        prepared=Prepared(workflow=workflow, variables={}),
        key=RowKey(work=key, subject=key),
    )
    kept = KeptRow(
        run=run or f"run-{key}",
        status=RunStatus(status),
        until_s=0.0,
        message="",
        result=json.dumps(key * 3),
        tokens=TokenCounts(),
    )
    return RowDone(task=task, kept=kept)


def written(path: Path) -> list[tuple[int, str, str]]:
    found = map(json.loads, path.read_text().splitlines())
    return [(one["index"], one["run"], one["status"]) for one in found]


def test_several_that_write_the_same_rows_to_one_file_write_each_line_once(
    tmp_path: Path, workflow: Workflow
) -> None:
    path = tmp_path / "out.jsonl"
    rows = [done(workflow, index, key) for index, key in enumerate("abcab")]
    orders: Sequence[Sequence[int]] = ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 0, 1, 4, 2])
    with ExitStack() as stack:
        outputs = [stack.enter_context(open_output(path)) for _ in orders]
        for turn in range(len(rows)):
            for output, order in zip(outputs, orders, strict=True):
                output.write(rows[order[turn]])
    assert sorted(run for _, run, _ in written(path)) == ["run-a", "run-a", "run-b", "run-b", "run-c"]


def test_a_run_that_went_on_since_gets_another_line(tmp_path: Path, workflow: Workflow) -> None:
    path = tmp_path / "out.jsonl"
    for status in ("interrupted", "interrupted", "completed", "completed"):
        with open_output(path) as output:
            output.write(done(workflow, 0, "a", status=status))
    assert written(path) == [(0, "run-a", "interrupted"), (0, "run-a", "completed")]


@pytest.mark.parametrize("end", range(1, 40, 3))
def test_what_a_killed_process_left_of_a_line_is_cut_off(
    tmp_path: Path, workflow: Workflow, end: int
) -> None:
    path = tmp_path / "out.jsonl"
    with open_output(path) as output:
        output.write(done(workflow, 0, "a"))
    line = path.read_bytes()
    with open_output(path) as output:  # another process ends while this one runs, or before it
        path.write_bytes(line + line[:end])
        output.write(done(workflow, 1, "b"))
        assert path.read_bytes().startswith(line + b'{"index": 1, ')
    path.write_bytes(line[:end])
    with open_output(path):
        assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"mine", 1),
        (b"{}\n", 1),
        (b"[1]\n", 1),
        (b"\n", 1),
        (b'{"index": 3}', 1),
        (b'{"index": true', 1),
        (b'{"index": 0, "row": 3, "key": null, "run": "r", "status": "s"}\n', 1),
        (b'{"index": ' + b"[" * 100_000 + b"\n", 1),
        (b"\0" * 1_000_000, 1),
        (b'{"index": 0, "row": "a", "key": null, "run": "r", "status": "s"}\nmine\n', 2),
    ],
    ids=range(10),
)
def test_a_file_with_anything_else_is_refused_and_stays_as_it_is(
    tmp_path: Path, content: bytes, line: int
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"out.jsonl:{line}: This line is not the result of a row"):
        open_output(path).__enter__()
    assert path.read_bytes() == content


def test_a_line_that_cannot_be_written_whole_is_not_begun(tmp_path: Path, workflow: Workflow) -> None:
    path = tmp_path / "out.jsonl"

    class Full:
        """A file on a disk with room for so many bytes."""

        def __init__(self, output: RowFileOutput) -> None:
            self._file, self.room = output._file, 20

        def write(self, data: memoryview) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            count = self._file.write(data[: self.room])
            self.room -= count
            return count

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

    with open_output(path) as output:
        assert isinstance(output, RowFileOutput)
        output.write(done(workflow, 0, "a"))
        whole, file = path.read_bytes(), output._file
        output._file = Full(output)  # type: ignore[assignment]
        with pytest.raises(UsageError, match="cannot be written: No space left"):
            output.write(done(workflow, 1, "b"))
        output._file = file
        assert path.read_bytes() == whole
        output.write(done(workflow, 1, "b"))
    assert [index for index, _, _ in written(path)] == [0, 1]
