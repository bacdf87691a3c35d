"""What is known of the values of an expression before there are any, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from samovar.checks.checking import check_workflow
from samovar.checks.variable_types import types_of
from samovar.config import Settings
from samovar.errors import ExpressionError, Fault, FaultsError, Place, UsageError
from samovar.expressions.expression import Expression
from samovar.expressions.kinds import kind_of
from samovar.expressions.meter import Meter
from samovar.expressions.operators import equal
from samovar.expressions.types import (
    BOOL,
    FRACTIONAL,
    NUMBER,
    TEXT,
    WHOLE,
    Type,
    list_of,
    text_of,
    type_of_value,
)
from samovar.expressions.typing_rules import never_equal
from samovar.language.parameter_list import read_parameters
from samovar.language.parameters import bind
from samovar.preflight.prepare import prepare
from samovar.values import Record
from tests.bench import Bench, Told
from tests.test_expression_oracle import EXPRESSIONS, VARIABLES

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1)
TYPES = {
    "best": text_of(["1", "2", "3"]),
    "ok": text_of(["true", "false"]),
    "kind": text_of(["Bug", "Question"]),
    "answer": TEXT,
    "n": WHOLE,
    "share": FRACTIONAL,
    "flag": BOOL,
    "tags": list_of(text_of(["old", "new"])),
    "r": Type(kinds=TEXT.kinds, parts={"tokens": WHOLE, "lines": list_of(TEXT)}),
}


def said(text: str, *, is_condition: bool = True) -> list[str]:
    faults = Expression.parse(text, HERE).check(TYPES, is_condition=is_condition)
    return [f"{fault.place.column} {fault.code}: {fault.message}" for fault in faults]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "best == 1",
            '1 type-mismatch: `best == 1` is never true: `best` is one of the texts "1", "2", "3", '
            'not a whole number. Write `best == "1"`.',
        ),
        (
            "flag && ok == true",
            '9 type-mismatch: `ok == true` is never true: `ok` is one of the texts "true", "false", '
            'not true or false. Write `ok == "true"`.',
        ),
        (
            "ok",
            '1 text-as-truth: `ok` is one of the texts "true", "false", and any text that is not empty is '
            "true. "
            'Write the value to compare with, as in `ok == "true"`.',
        ),
        ('kind == "bug"', 'Write `kind == "Bug"`.'),
        (
            'kind != "bug"',
            'is always true: `kind` is one of the texts "Bug", "Question". Write `kind != "Bug"`.',
        ),
        ('kind in ["bug", "question"]', "is never true"),
        ('"odl" in tags', '`"odl" in tags` is never true: each item of `tags` is one of the texts'),
        ('tags.contains("odl")', '`tags.contains("odl")` is never true: it looks into one of'),
        ('!tags.contains("odl") || flag', '2 type-mismatch: `tags.contains("odl")` is never true'),
        ('contains(tags, "odl")', "is never true"),
        ("tags.contains(1)", "is never true"),
        ('kind.contains("bug")', "is never true"),
        ('kind.startsWith("ug") || flag', "is never true"),
        ('kind.endsWith("Bu")', "is never true"),
        ('{"a": 1}["b"] == 1', "has no part 'b'."),
        ("tags.exists(t, t == 'nwe')", 'Write `t == "new"`.'),
        ("answer == 3", 'Write `answer == "3"`.'),
        ('n == "3"', "Write `n == 3`."),
        ('flag == "true"', "Write `flag`."),
        ('flag != "true"', "Write `!flag`."),
        ('flag == "false"', "Write `!flag`."),
        ("answer > 3", "int(answer) and double(answer) convert a text to a number."),
        (
            "answer && flag",
            "`answer` beside `&&` must be true or false, but is a text. Write the value to compare with",
        ),
        ("!best", 'as in `best == "1"`.'),
        ("n ? 1 : 2", "`n` before `?` must be true or false, but is a whole number."),
        ("n + answer == 1", "`n + answer` cannot be computed"),
        ("n.trim() == ''", "The function 'trim' takes a text, not a whole number."),
        ("size(n) > 1", "The function 'size' takes"),
        ("flag.x == 1", "`flag` is true or false, which has no part 'x'."),
        ("{'a': 1}.b == 1", "`{'a': 1}` has no part 'b'."),
        ("n.exists(x, x == 1)", "'exists' goes through a list or a map, not a whole number."),
        ("tags.all(t, t)", "`t` in 'all' must be true or false"),
        ("r.tokens == '5'", "Write `r.tokens == 5`."),
        ("r.lines.exists(l, l == 1)", 'Write `l == "1"`.'),
        ("-answer == 1", "`-` takes a number, not a text."),
        ("'a' in answer", "`in` looks into a list or a map, not a text."),
        ("(n + 1) == 'x'", "`(n + 1) == 'x'` is never true"),
        ("type(n) == 'int'", "is never true"),
    ],
)
def test_what_is_never_true_is_said_with_the_right_form(text: str, message: str) -> None:
    (found,) = said(text)
    assert message in found


@pytest.mark.parametrize(
    "text",
    [
        'best == "1"', "best in ['1', '9']", "ok == 'true' || ok != 'false'", "n == 3.0", "share > n", "kind",
        "kind.lowerAscii() == 'bug'", "answer != ''", "n / 2 == 1.5", "n + share > 0", "tags + ['x'] == []",
        "answer + string(n) == 'x3'", "int(best) > 2", "tags[0] == 'old'", "r.other == 1", "m.a.b == 1",
        "default(answer.x, 1) == 1", "has(r.tokens)", "r.tokens > 5 && r == 'yes'", "(flag ? 1 : 'x') == 'x'",
        "[1, 'a'].exists(x, x == 'a')", "tags.map(t, size(t))[0] == 3", "dyn(n) == 'x'", "null == unknown",
        "unknown == 1 && unknown == 'x'", "duration('1s') > duration('2s')",
        "timestamp('2020-01-01T00:00:00Z') - duration('1s') < timestamp('2021-01-01T00:00:00Z')",
    ],
)  # fmt: skip
def test_nothing_is_said_of_what_can_be(text: str) -> None:
    assert said(text) == []


@settings(max_examples=300)
@given(EXPRESSIONS, VARIABLES)
def test_what_is_said_to_be_never_right_never_is(text: str, variables: dict[str, object]) -> None:
    variables = {"i": 7, **variables}
    types = {name: type_of_value(value) for name, value in variables.items()}
    try:
        expression = Expression.parse(text, HERE)
        value = expression.evaluate(variables)
    except (ExpressionError, FaultsError):
        return
    known = expression.type(types)
    assert kind_of(value) in known.kinds or kind_of(value) in (
        "text",
        "double",
    )  # times and types are texts then
    assert known.values is None or value in known.values


# In workflows.

JUDGED = "[*] --> A\nA --> B: {condition}\nA --> [*]: default\nB --> [*]"


def faults_of(bench: Bench, condition: str, action: str, front: str = "") -> list[Fault]:
    workflow = bench.write("w", JUDGED.format(condition=condition), f"A: {action}", front)
    return [one for one in check_workflow(workflow, bench.library) if one.severity == "error"]


@pytest.mark.parametrize(
    ("condition", "action", "front", "message"),
    [
        ("best == 1", 'Prompt "x" result="best" using choices="1|2|3"', "", 'Write `best == "1"`.'),
        ("ok", 'Prompt "x" result="ok" using choices="true|false"', "", "any text that is not empty is true"),
        ('"n == 3"', "Set n=3", "", "Write it without quotes: `n == 3`."),
        ("true", "Set n=3", "", "so it never changes"),
        ("n == 3", 'Log "x"', "parameters: [{name: n, type: string}]", 'Write `n == "3"`.'),
        ('n == "3"', 'Log "x"', "parameters: [{name: n, type: integer}]", "Write `n == 3`."),
        ('c == "wram"', 'Log "x"', "parameters: [{name: c, type: choice, choices: [warm]}]", '"warm"'),
        ('v.exit_code == "0"', 'Shell "true" with result="v"', "", "Write `v.exit_code == 0`."),
        ('x == "1"', "Set x=1", "", "Write `x == 1`."),
        ("success == 'true'", 'Log "x"', "", "Write `success`."),
        ("default(v.json.k, 0) > 1", 'Log "x"', "", "nothing sets 'v' at all"),
        ("v.tokns > 1", 'Prompt "x" result="v"', "", "`v` has no part 'tokns'. Did you mean 'tokens'?"),
        ("v.exitcode == 1", 'Shell "true" with result="v"', "", "Did you mean 'exit_code'?"),
        ('error.mesage == ""', 'Log "x"', "", "Did you mean 'message'?"),
        ("v.matches('(a')", 'Prompt "x" result="v"', "", "not a regular expression: unclosed group"),
    ],
)
def test_a_workflow_that_compares_in_vain_is_refused(
    condition: str, action: str, front: str, message: str, tmp_path: Path
) -> None:
    faults = faults_of(Bench(tmp_path), condition, action, front)
    assert len(faults) == 1 and message in faults[0].message
    assert faults[0].place.line >= 3


@pytest.mark.parametrize(
    ("condition", "action", "front"),
    [
        ("n == 3", 'Log "x"', "parameters: [{name: n}]"),
        ("best == '1'", 'Prompt "x" result="best" using choices="${listed}"', "parameters: [{name: listed}]"),
        ("x == 'a'", 'Set x="b"', ""),
        ("default(v.json.k, 0) > 1", 'Prompt "x" result="v"', ""),
        ("x == 1", '{% if success %}Set x="a"{% else %}Set x=1{% endif %}', ""),
    ],
)
def test_what_may_be_right_is_let_be(condition: str, action: str, front: str, tmp_path: Path) -> None:
    assert faults_of(Bench(tmp_path), condition, action, front) == []


def test_an_old_file_is_only_warned_of(tmp_path: Path) -> None:
    folder = tmp_path / ".swissarmyhammer" / "workflows"
    folder.mkdir(parents=True)
    bench = Bench(folder)
    workflow = bench.write(
        "w", JUDGED.format(condition="best == 1"), 'A: Prompt "x" result="best" using choices="1|2"'
    )
    (fault,) = [one for one in check_workflow(workflow, bench.library) if one.code == "type-mismatch"]
    assert fault.severity == "warning"


def test_a_variable_is_all_that_may_have_set_it(tmp_path: Path) -> None:
    actions = 'A: Prompt "x" result="v" using choices="a|b"\nB: Set v=3, w := 1 + 1'
    workflow = Bench(tmp_path).write("w", JUDGED.format(condition="success"), actions)
    types = types_of(workflow)
    assert types["v"].kinds == {"text", "int"} and types["v"].values is None
    assert types["w"].kinds == {"int"}


@pytest.mark.anyio
@pytest.mark.parametrize("action", ['Prompt "x" result="v"', 'Shell "echo x" with result="v"', 'Abort "x"'])
async def test_the_parts_that_are_known_are_all_there_are(action: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    failed = 'Shell "exit 1"' if "Abort" in action else action
    diagram = "[*] --> A\nA --> [*]: always"
    workflow = bench.write("w", diagram, f"A: {failed}")
    run = await bench.run(workflow, Told(["yes"]))
    types = types_of(workflow)
    if "v" in types:
        value = run.variables["v"]
        assert isinstance(value, Record)
        assert value.parts.keys() == types["v"].parts.keys()
        pairs = [(value.parts[name], types["v"].parts[name]) for name in value.parts]
    else:
        error = run.variables["error"]
        assert isinstance(error, dict)
        assert error.keys() == types["error"].parts.keys()
        pairs = [(error[name], types["error"].parts[name]) for name in error]
    assert all(kind_of(value) in type_.kinds for value, type_ in pairs)


def test_a_text_whose_words_are_not_known_is_doubted_where_it_stands_alone() -> None:
    (fault,) = Expression.parse("answer", HERE).check(TYPES, is_condition=True)
    assert (fault.code, fault.severity) == ("text-as-truth", "warning")
    assert 'as in `answer == "yes"`, or `answer != ""` if any will do.' in fault.message
    assert said("answer", is_condition=False) == []


@pytest.mark.anyio
async def test_a_run_warns_once_of_a_text_that_says_no_and_counts_as_true(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    diagram = "[*] --> A\nA --> B: given\nB --> A: n < 3\nB --> [*]: default"
    workflow = bench.write("w", diagram, "A: Set n := default(n, 0) + 1")
    for value, times in (("false", 1), ("No ", 1), ("0", 1), ("yes", 0), ("", 0), (False, 0), ("no way", 0)):
        bench.events.clear()
        run = await bench.run(workflow, given=value, n=0)
        assert bool(run.variables["n"] == 3) is bool(value)
        assert [one for one in bench.warnings if "says no" in one] == times * [
            "A text that says no counts as true here, like any text but the empty one: compare it. In: given"
        ]


@pytest.mark.anyio
async def test_a_run_warns_once_of_a_text_that_is_compared_with_a_number(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    diagram = "[*] --> A\nA --> B: given == 3\nA --> A: n < 4\nA --> [*]: default\nB --> [*]"
    run = await bench.run(bench.write("w", diagram, "A: Set n := default(n, 0) + 1"), given="3", n=0)
    assert run.variables["n"] == 4
    assert [one for one in bench.warnings if "never equal" in one] == [
        "A text and a whole number are compared, and are never equal. In: given == 3"
    ]


@pytest.mark.anyio
async def test_a_variable_is_set_and_read_in_every_form_of_its_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    diagram = "[*] --> A\nA --> B: gr\u00f6\u00dfe == 3 && f\u00fcnf == 5\nA --> [*]: default\nB --> [*]"
    actions = 'A: Set gro\u0308\u00dfe=3, fu\u0308nf := gr\u00f6\u00dfe + 2\nB: Log "yes"'
    workflow = bench.write("w", diagram, actions)
    assert [
        fault for fault in check_workflow(workflow, bench.library) if fault.code == "unset-variable"
    ] == []
    await bench.run(workflow)
    assert bench.log == ["yes"]


# Parameters.


def test_a_parameter_that_no_expression_can_read_is_an_error(tmp_path: Path) -> None:
    for name in ("dry-run", "in", "true", "2nd", "a b", "x.y"):
        with pytest.raises(FaultsError) as caught:
            Bench(tmp_path).write("w", "[*] --> A\nA --> [*]", "", f"parameters: [{{name: '{name}'}}]")
        (fault,) = caught.value.faults
        assert fault.code == "parameter" and fault.severity == "error" and repr(name) in fault.message
    for name in ("größe", "package", "import", "loop", "名前"):
        Bench(tmp_path).write("w", "[*] --> A\nA --> [*]", "", f"parameters: [{{name: '{name}'}}]")


def test_an_old_files_parameter_keeps_its_name(tmp_path: Path) -> None:
    folder = tmp_path / ".sah" / "workflows"
    folder.mkdir(parents=True)
    workflow = Bench(folder).write("w", "[*] --> A\nA --> [*]", "", "parameters: [{name: dry-run}]")
    assert [one.name for one in workflow.parameters] == ["dry-run"]


def test_names_of_parameters_are_found_in_every_form() -> None:
    (parameter,), faults = read_parameters([{"name": "gro\u0308\u00dfe"}], lambda *steps: HERE)
    assert not faults
    assert bind([parameter], {"gr\u00f6\u00dfe": "1"}) == bind([parameter], {"gro\u0308\u00dfe": "1"})
    assert (
        Expression.parse("gro\u0308\u00dfe", HERE).evaluate(bind([parameter], {"gro\u0308\u00dfe": "1"}))
        == "1"
    )


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("float", "3", 3.0),
        ("float", 3, 3.0),
        ("number", "3", 3),
        ("number", "3.5", 3.5),
        ("integer", 3.0, 3),
        ("string", 3, "3"),
        ("string", True, "true"),
    ],
)
def test_a_value_has_the_type_of_its_parameter(kind: str, given: object, value: object) -> None:
    (parameter,), _ = read_parameters([{"name": "x", "type": kind}], lambda *steps: HERE)
    found = bind([parameter], {"x": given})["x"]
    assert found == value and type(found) is type(value)
    assert kind_of(found) in parameter.values.kinds


def test_a_default_has_the_type_of_its_parameter_and_a_wrong_one_is_refused() -> None:
    (parameter,), _ = read_parameters([{"name": "x", "type": "float", "default": 3}], lambda *steps: HERE)
    assert repr(bind([parameter], {})["x"]) == "3.0"
    assert parameter.values == FRACTIONAL
    (parameter,), _ = read_parameters([{"name": "x", "type": "number"}], lambda *steps: HERE)
    assert parameter.values == NUMBER
    with pytest.raises(UsageError):
        bind([parameter], {"x": "many"})


def test_a_whole_number_of_json_is_whole() -> None:
    record = Record('{"count": 3.0, "share": 0.5, "large": 1e300, "n": 3}')
    assert repr(record.part("json")) == "{'count': 3, 'share': 0.5, 'large': 1e+300, 'n': 3}"
    assert Expression.parse("r.json.count + 1", HERE).evaluate({"r": record}) == 4
    assert Expression.parse("r.json.count / 2", HERE).evaluate({"r": record}) == 1


async def test_a_variable_that_was_given_as_a_number_is_no_text(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    path = str(bench.write("w", "[*] --> A\nA --> [*]: n > 3", 'A: Log "x"').path)
    assert prepare(path, {"n": 5}, bench.library, Settings()).variables == {"n": 5}
    with pytest.raises(FaultsError, match="`n` is a text"):
        prepare(path, {"n": "5"}, bench.library, Settings())


def test_many_values_are_compared_at_once() -> None:
    """By what they are, not each with each: there may be thousands."""
    left = text_of(str(number) for number in range(5000))
    assert never_equal(left, text_of(f"x{number}" for number in range(5000)))
    assert not never_equal(left, text_of([*(f"x{number}" for number in range(5000)), "4999"]))
    values = [1, 1.0, True, False, 0, "1", "", None, 2**60, 0.5]
    for one in values:
        for other in values:
            both = type_of_value(one), type_of_value(other)
            if all(known.values is not None for known in both):
                assert never_equal(*both) is not equal(one, other, Meter()), (one, other)
