"""Rows of files: lines of JSON, CSV, patterns of files; what cannot be one is named by file and line."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.checks.unset import Readers
from samovar.config import Settings
from samovar.errors import UsageError
from samovar.preflight.row_files import RowFile, open_row_file
from samovar.preflight.row_keys import RowKeys
from samovar.preflight.rows import Rows, of_files, texts_of
from samovar.running.runner import RunnerSettings
from samovar.values import limited
from tests.bench import Bench

FRONT = """parameters:
  - {name: name, required: true}
  - {name: age, type: number, default: 3}
  - {name: note}
  - {name: paper, type: file}"""
ONE = "[*] --> A\nA --> [*]"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def rows_of(
    bench: Bench,
    said: str,
    given: Mapping[str, object] | None = None,
    front: str = FRONT,
    results: Path | None = None,
) -> Rows:
    workflow = bench.write("w", ONE, 'A: Log "${name} ${nick}"', front=front)
    run, given = RunnerSettings(settings=Settings()), given or {}
    parameters = of_files(workflow, given)
    file = open_row_file(said, texts=texts_of(workflow), of_files=parameters, results=results)
    readers = Readers(workflow, bench.library)
    return Rows(file=file, workflow=workflow, given=given, readers=readers, settings=Settings(), run=run)


def read(bench: Bench, name: str, content: str | bytes, **given: object) -> list[dict[str, object]]:
    """What the runs of these rows begin with."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = rows_of(bench, name, given)
    count = rows.count()
    found = [rows._bound(row) for row in rows.file]
    assert len(found) == count
    return found


def test_columns_become_parameters_typed_by_the_workflow(bench: Bench) -> None:
    csv_rows = read(bench, "r.csv", 'name,age,nick\nAnn,4,\n"B ""q""\nx",5.5,Bo\n')
    assert csv_rows == [{"name": "Ann", "age": 4}, {"name": 'B "q"\nx', "age": 5.5, "nick": "Bo"}]
    lines = '{"name": 12, "age": "7"}\n\n  {"nick": ["a"], "name": "x", "age": null}\n'
    assert read(bench, "r.jsonl", lines) == [
        {"name": 12, "age": 7},
        {"name": "x", "age": 3, "nick": ["a"]},
    ]


def test_an_empty_cell_is_an_empty_text_or_nothing(bench: Bench) -> None:
    assert read(bench, "r.csv", "name,age,note\n,,\n") == [{"name": "", "age": 3, "note": ""}]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_and_line_ends_of_other_systems_are_no_part_of_rows(
    bench: Bench, end: str, encoding: str
) -> None:
    text = end.join(["name,note", "Jürgen,ß", "日本,", ""])
    assert read(bench, "r.csv", text.encode(encoding)) == [
        {"name": "Jürgen", "note": "ß", "age": 3},
        {"name": "日本", "note": "", "age": 3},
    ]
    text = end.join(['{"name": "Jürgen"}', '{"name": "a\u2028b"}'])
    names = [one["name"] for one in read(bench, "r.jsonl", text.encode(encoding))]
    assert names == ["Jürgen", "a\u2028b"]


@pytest.mark.parametrize(("name", "mark"), [("r.csv", ";"), ("r.csv", "\t"), ("r.tsv", "\t")])
def test_the_separators_of_spreadsheets_are_seen(bench: Bench, name: str, mark: str) -> None:
    assert read(bench, name, f"name{mark}note\nA{mark}b, c\n")[0]["note"] == "b, c"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("r.csv", "", "r.csv is empty"),
        (
            "r.csv",
            "name,nmae\nA,b\n",
            "a variable of that name. Did you mean 'name'",
        ),
        ("r.csv", "nam,age\nA,3\n", "r.csv:1: The workflow has no parameter 'nam'"),
        ("r.csv", "age\n3\n", "r.csv:1: There is no column 'name', which the workflow requires."),
        ("r.csv", "name,name\nA,b\n", "r.csv:1: Two columns have the name 'name'."),
        ("r.csv", "name,\nA,b\n", "r.csv:1: A column of the first row has no name."),
        ("r.csv", 'name\n"a\nb"\nx,y\n', "r.csv:4: This row has 2 cells, and the first line 1."),
        ("r.csv", 'name\nA\n"open\nB\n', "r.csv:3: This row is not CSV: unexpected end of data."),
        ("r.csv", 'name,age\nA,4\n"B\nb",old\n', "r.csv:3: The parameter 'age' cannot be 'old': expected"),
        ("r.csv", "name,note\nA,b\n", "'note' is given by this file and by the command."),
        ("r.csv", b"name\nA\nJ\xfcrgen\n", "r.csv:3: This is not text in UTF-8 (byte 0xfc)."),
        ("r.jsonl", b'{"name": "A"}\n{"name": "\xff"}', "r.jsonl:2: This is not text in UTF-8"),
        (
            "r.jsonl",
            '{"name": "A"}\n{"name": ',
            "r.jsonl:2:10: This line is not JSON: a value is expected.",
        ),
        ("r.jsonl", '{"name": "A"}\n\n["A"]\n', "r.jsonl:3: A row is an object on one line"),
        ("r.jsonl", "{'name': 1}", "r.jsonl:1:2: This line is not JSON: a key in double quotes is expected."),
        ("r.jsonl", '{"name" "A"}', "r.jsonl:1:9: This line is not JSON: a colon is expected."),
        ("r.jsonl", '{"name": "A" "age": 3}', "r.jsonl:1:14: This line is not JSON: a comma or a closing"),
        ("r.jsonl", '{"name": "A"} {}', "r.jsonl:1:15: This line is not JSON: the end is expected"),
        (
            "r.jsonl",
            '{"name": "A}',
            "r.jsonl:1:10: This line is not JSON: the text that begins has no closing",
        ),
        ("r.jsonl", '{"name": "A\tB"}', "r.jsonl:1:12: This line is not JSON: a control character"),
        ("r.jsonl", '{"name": "A\\q"}', "r.jsonl:1:12: This line is not JSON: no escape is written"),
        ("r.jsonl", '{"name": "\\u12"}', "r.jsonl:1:12: This line is not JSON: `\\u` needs four"),
        ("r.jsonl", '{"name": ' + "[" * 100_000, "r.jsonl:1: This line cannot be read: it is nested too"),
        ("r.jsonl", '[\n{"name": "A"}\n]\n', "jq -c '.[]'"),
        ("r.jsonl", '{"name": "A"}\n{}\n', "r.jsonl:2: Required parameters are missing"),
        ("r.jsonl", '{"nmae": "A"}\n', "r.jsonl:1: The workflow has no parameter 'nmae', and"),
        ("r.jsonl", '{"name": "A", "name": "B"}\n', "r.jsonl:1:15: This line is not JSON: the key 'name'"),
        ("r.jsonl", '{"name": "A", "age": NaN}\n', "r.jsonl:1:22: This line is not JSON: JSON has no NaN"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line_before_anything_runs(
    bench: Bench, name: str, content: str | bytes, said: str
) -> None:
    given = {"note": "x"} if "given by" in said else {}
    with pytest.raises(UsageError) as raised:
        read(bench, name, content, **given)
    assert said in str(raised.value)


def test_a_row_of_too_many_items_is_named(bench: Bench) -> None:
    with limited(20_000), pytest.raises(UsageError, match=r"r\.jsonl:2: The value of this JSON"):
        read(bench, "r.jsonl", '{"name": "A"}\n{"name": "B", "note": [' + "1," * 3000 + "1]}\n")


def test_many_wrong_rows_are_counted(bench: Bench) -> None:
    with pytest.raises(UsageError) as raised:
        read(bench, "r.csv", "name,age\n" + "A,x\n" * 30)
    lines = str(raised.value).splitlines()
    assert len(lines) == 11 and lines[0].startswith("r.csv:2: ") and lines[-1] == "20 more rows are wrong."


def test_a_secret_cannot_be_a_column(bench: Bench) -> None:
    Path("r.csv").write_text("name,key\nA,b\n")
    rows = rows_of(bench, "r.csv", front="parameters: [{name: name}, {name: key, secret: true}]")
    with pytest.raises(UsageError, match="secret"):
        rows.count()


def test_a_pattern_gives_each_file_to_the_parameter_that_takes_files(bench: Bench) -> None:
    for name in ("b.txt", "a.txt", ".hidden.txt", "sub/c.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("x")
    Path("d.txt").mkdir()
    rows = rows_of(bench, "*.txt", {"name": "n"})
    assert rows.count() == 2
    assert [row.values for row in rows.file] == [{"paper": "a.txt"}, {"paper": "b.txt"}]
    assert [row.where for row in rows_of(bench, "**/*.txt", {"name": "n"}).file][-1] == "sub/c.txt"
    with pytest.raises(UsageError, match="no file matches the pattern 'nothing/"):
        rows_of(bench, "nothing/*", {"name": "n"})
    one = rows_of(bench, "*.txt", front="parameters: [{name: name, required: true}, {name: note}]")
    assert one.file.parameter == "name"
    two = "parameters: [{name: name, type: file}, {name: note, type: file}]"
    with pytest.raises(UsageError, match=r"can be: name, note\. Name it"):
        rows_of(bench, "*.txt", front=two)
    assert rows_of(bench, "note=*.txt", front=two).file.parameter == "note"
    Path("noet=1.txt").write_text("x")
    assert rows_of(bench, "noet=*.txt", {"name": "n"}).count() == 1, "a file may be called like that"


@pytest.mark.parametrize("said", ["papre=*.txt", "papre=a.txt", "papre=r.csv"])
def test_a_misspelt_parameter_of_a_pattern_is_named_with_the_nearest(bench: Bench, said: str) -> None:
    Path("a.txt").write_text("x")
    with pytest.raises(UsageError, match=r"no parameter 'papre' that takes files\. Did you mean 'paper'\?"):
        rows_of(bench, said)


def test_the_file_that_results_go_to_is_not_a_row(bench: Bench) -> None:
    for name in ("a.txt", "out.txt"):
        Path(name).write_text("x")
    rows = rows_of(bench, "*.txt", {"name": "n"})
    assert [row.where for row in replace(rows.file, results=Path("out.txt"))] == ["a.txt"]
    with pytest.raises(UsageError, match="no file matches"):
        rows_of(bench, "out*", {"name": "n"}, results=Path("out.txt"))


@pytest.mark.parametrize("said", ["r.json", "rows", "missing.csv", "a.txt"])
def test_what_is_no_file_of_rows_is_said(bench: Bench, said: str) -> None:
    Path("a.txt").write_text("x")
    with pytest.raises(UsageError, match="--each"):
        rows_of(bench, said)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=5), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_python_writes_as_csv_or_json_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str, has_mark: bool
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    written = io.StringIO()
    csv.writer(written, lineterminator=end).writerows([("a", "b"), *rows])
    path = folder / "r.csv"
    path.write_bytes(written.getvalue().encode("utf-8-sig" if has_mark else "utf-8"))
    found = RowFile(said=str(path), kind="csv", texts=frozenset(("a", "b")))
    assert [(row.values["a"], row.values["b"]) for row in found] == rows
    path = folder / "r.jsonl"
    lines = end.join(json.dumps({"a": a, "b": b}, ensure_ascii=False) for a, b in rows)
    path.write_bytes(lines.encode("utf-8-sig" if has_mark else "utf-8"))
    objects = RowFile(said=str(path), kind="jsonl")
    assert [(row.values["a"], row.values["b"]) for row in objects] == rows


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["r.csv", "r.jsonl"]))
def test_any_bytes_are_rows_or_an_error_for_people(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / name
    path.write_bytes(b"a\n" + content if name == "r.csv" else content)
    try:
        rows = list(RowFile(said=str(path), kind="csv" if name == "r.csv" else "jsonl"))
    except UsageError as error:
        assert str(path) in str(error)
    else:
        assert [row.index for row in rows] == list(range(len(rows)))


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl"])
def test_what_is_held_does_not_grow_with_the_file(bench: Bench, name: str) -> None:
    def peak(count: int) -> int:
        with Path(name).open("w") as file:
            file.write("name,age\n" if name == "r.csv" else "")
            for number in range(count):
                file.write(f"n{number},{number}\n" if name == "r.csv" else f'{{"name": "n{number}"}}\n')
        rows = rows_of(bench, name)
        tracemalloc.start()
        assert rows.count() == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(3000) < peak(500) + 100_000


def test_a_key_is_of_all_that_the_result_depends_on_and_of_nothing_else(bench: Bench) -> None:
    Path("paper.txt").write_text("one")
    front = FRONT + "\n  - {name: key, secret: true}"
    workflow = bench.write("w", ONE, 'A: Prompt "${name} ${key}"', front=front)
    variables = {"name": "A", "age": 3, "paper": "paper.txt", "key": "s1"}

    def key(settings: Settings | None = None, **run: object) -> tuple[str, str]:
        now = bench.library.workflow(str(workflow.path))
        options = RunnerSettings(**run)  # type: ignore[arg-type]
        found = RowKeys(now, bench.library, settings or Settings(), options).of(variables)
        return found.work, found.subject

    first = key()
    assert key() == first
    variables["key"] = "s2"
    assert key() == first, "a secret is in no digest"
    others = [key(Settings(model="other")), key(seed=3), key(model="m"), key(deterministic=True)]
    Path("paper.txt").write_text("two")
    others.append(key())
    assert {subject for _, subject in others} == {first[1]}
    variables["age"] = 4
    others.append(key())
    bench.write("w", ONE, 'A: Prompt "${name} ${key}!"', front=front)
    others.append(key())
    assert len({work for work, _ in [first, *others]}) == 8
    assert others[-1][1] == others[-2][1] != first[1]


def test_a_key_changes_with_every_prompt_and_workflow_that_may_be_read(bench: Bench) -> None:
    prompts = bench.folder / "prompts"
    prompts.mkdir()
    (prompts / "ask.md").write_text("{% render 'part' %} ${name}")
    (prompts / "part.md").write_text("{% partial %}\nBe kind.")
    bench.write("child", ONE, 'A: Execute prompt "ask" with name="x"')
    workflow = bench.write("w", ONE, 'A: Run workflow "child"')

    def work() -> str:
        now = bench.library.workflow(str(workflow.path))
        return RowKeys(now, bench.library, Settings(), RunnerSettings()).of({}).work

    found = [work()]
    (prompts / "part.md").write_text("{% partial %}\nBe rude.")
    found.append(work())
    (prompts / "ask.md").write_text("{% render 'part' %} you ${name}")
    found.append(work())
    bench.write("child", ONE, 'A: Execute prompt "ask" with name="y"')
    found.append(work())
    (prompts / ".system.md").write_text("You are a sage.")
    found.append(work())
    assert len(set(found)) == 5
