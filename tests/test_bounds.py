"""What is filled in, computed and kept is bounded: by steps, by bytes of a value, and by who waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid.builtin.filters import array, string

from samovar.actions.computing import SHORT_US, Computer
from samovar.config import Settings
from samovar.errors import Place, TemplateError, TooLargeError, UsageError
from samovar.events import Ending, Event, Logged, StateEntered, StateLeft
from samovar.expressions.meter import LOOK
from samovar.language.liquid_filters import count_lines, strip_html, truncatewords, uniq
from samovar.language.template import Template
from samovar.preflight.prepare import prepare
from samovar.running.runner import ABORT_FILE
from samovar.values import Record, is_within, limited, lines_of, read_json
from tests.bench import Bench, Told, unchecked

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1)
SMALL_BYTES = 100_000
LONG = "{% for i in (1..90000) %}{% assign x = i | plus: 1 %}{% assign x = i | plus: 1 %}{% endfor %}"
"""Some seconds of work."""
FORK = "state F <<fork>>\nstate J <<join>>\n[*] --> F\nF --> A\nF --> B\nA --> J\nB --> J\nJ --> [*]"
STRAIGHT = "[*] --> A\nA --> [*]"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.settings = replace(bench.settings, settings=Settings(value_bytes=SMALL_BYTES))
    return bench


def fill(text: str, **variables: object) -> str:
    return Template.parse(text, HERE).fill(variables)


# Steps ---------------------------------------------------------------------------------------------------


def steps_of(text: str, **variables: object) -> int:
    """Those that filling a template takes, in the unit of whoever waits."""
    told: list[int] = []
    token = LOOK.set(told.append)
    try:
        fill(text, **variables)
    finally:
        LOOK.reset(token)
    return sum(told)


def test_the_same_template_takes_the_same_steps_and_more_items_take_more() -> None:
    text = "{% for i in items %}{{ i | append: '!' }}{% endfor %}"
    one, two = (steps_of(text, items=["x"] * count) for count in (2000, 4000))
    assert one == steps_of(text, items=["x"] * 2000)
    assert 1.9 < two / one < 2.1


@pytest.mark.parametrize(
    "text",
    [
        LONG.replace("90000", "99999") * 5,
        "{% for i in (1..99999) %}" + "{% if true %}{% endif %}" * 50 + "{% endfor %}",
        "{% for i in (1..90000) %}{% assign y = big | split: ',' | join: ';' %}{% endfor %}",
        "{% for i in (1..90000) %}{% assign y = many | sort | size %}{% endfor %}",
        "{% for i in (1..90000) %}{% if big contains 'x' %}{% endif %}{% endfor %}",
    ],
    ids=["filters", "nodes", "large texts", "large lists", "comparisons"],
)
def test_a_template_that_takes_very_many_steps_is_given_up(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samovar.language.liquid_bounds.MOST_STEPS", 20_000)
    with pytest.raises(TemplateError, match="it takes more than 20,000 steps"):
        fill(text, big="a," * 40_000, many=list(range(10_000)))


# Whoever waits -------------------------------------------------------------------------------------------


async def test_what_is_short_is_computed_at_once_and_what_is_long_beside() -> None:
    computer = Computer()
    assert await computer.compute(lambda: fill("{{ x | upcase }}", x="a")) == "A"
    assert computer.long == 0
    assert await computer.compute(lambda: fill(LONG.replace("90000", "2000"))) == ""
    assert computer.long == 1


@pytest.mark.parametrize("around", ["{}", "{{% if true %}}{}{{% endif %}}"])
async def test_expressions_in_texts_are_bounded_and_long_ones_in_a_thread(around: str) -> None:
    computer = Computer(SMALL_BYTES)
    text = around.format("${size(l.filter(a, l.exists(b, b == a))) + 1}")
    assert await computer.compute(lambda: fill(text, l=list(range(20)))) == "21"
    assert computer.long == 0
    assert await computer.compute(lambda: fill(text, l=list(range(300)))) == "301"
    assert computer.long == 1
    with pytest.raises(TooLargeError) as caught:
        await computer.compute(lambda: fill("ab " + around.format("${s + s}"), s="x" * 60_000))
    assert caught.value.place is not None


async def test_a_text_of_many_short_expressions_is_short_and_one_large_step_is_not() -> None:
    computer = Computer()
    assert await computer.compute(lambda: fill("${n + 1} " * 60, n=1)) == "2 " * 60
    assert computer.long == 0
    assert len(await computer.compute(lambda: fill("${t + t}", t="x" * 8_000_000))) == 16_000_000
    assert computer.long == 1


async def test_the_event_loop_waits_for_a_counted_part_of_what_is_long() -> None:
    looks: list[int] = []

    def work() -> int:
        for _ in range(100):
            looks.append(1)
            LOOK.get()(SHORT_US // 10)
        return 7

    assert await Computer().compute(work) == 7
    assert len(looks) == 11 + 100  # ten parts are short, the eleventh is not; then all of it in a thread


@pytest.mark.slow
async def test_other_branches_go_on_while_a_template_is_filled(bench: Bench) -> None:
    diagram = FORK.replace("B --> J", "B --> C\nC --> J")
    run = await bench.run(bench.write("w", diagram, f'A: Log "{LONG}"\nB: Log "b"\nC: Log "c"'))
    assert run.ending is Ending.COMPLETED
    left = [event.path for event in bench.events if isinstance(event, StateLeft)]
    assert left.index("C") < left.index("A")


@pytest.mark.parametrize(
    "action", [f'Log "{LONG}"', f'Set v="{LONG}"', f'Prompt "{LONG}"', f'Shell "{LONG}"']
)
async def test_a_time_limit_ends_a_template(bench: Bench, action: str) -> None:
    bench.settings = replace(bench.settings, duration_s=0.1)
    run = await bench.run(bench.write("w", STRAIGHT, f"A: {action}"))
    assert (
        run.ending is Ending.LIMITED
        and run.error is not None
        and "took longer than 100 ms" in run.error.message
    )
    assert not bench.log


async def test_a_run_that_is_stopped_leaves_its_template(bench: Bench) -> None:
    runner = bench.runner(Told())
    workflow = bench.write("w", STRAIGHT, f'A: Log "{LONG}"')
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run, unchecked(workflow))
            while not any(isinstance(event, StateEntered) for event in bench.events):
                await anyio.lowlevel.checkpoint()
            runner.stop()
    assert not bench.log
    assert [event.status for event in bench.events if isinstance(event, StateLeft)] == ["cancelled"]


async def test_a_run_does_not_complete_beyond_its_time_limit(bench: Bench) -> None:
    bench.settings = replace(bench.settings, duration_s=0.05)

    def on_event(event: Event) -> None:
        began = anyio.current_time()
        while isinstance(event, Logged) and anyio.current_time() < began + 0.1:
            pass  # the event loop is kept busy, so that nothing can end the run meanwhile

    run = await bench.runner(Told(), on_event).run(unchecked(bench.write("w", STRAIGHT, 'A: Log "x"')))
    assert run.ending is Ending.LIMITED
    assert [visit.path for visit in run.visits] == ["A"]


# Bytes of values -----------------------------------------------------------------------------------------

DOUBLING = "[*] --> A\nA --> B\nB --> A: n < 40\nB --> [*]: default"
FRONT = "parameters: [{name: s, default: xx}, {name: n, default: 0, type: integer}]"


@pytest.mark.parametrize(
    "doubled",
    [
        "Set s := s + s",
        "Set s := [s, s]",
        'Set s := {"a": s, "b": s}',
        'Set s="${s}${s}"',
        'Set s="{{ s }}{{ s }}"',
        'Set s="{{ s | append: s }}"',
        'Set s="{% capture t %}{{ s }}{{ s }}{% endcapture %}{{ t }}"',
        "Set s=\"{{ s | replace: 'x', 'xx' }}\"",
    ],
)
async def test_a_variable_that_doubles_is_refused_by_name(bench: Bench, doubled: str) -> None:
    run = await bench.run(bench.write("w", DOUBLING, f"A: {doubled}\nB: Set n := n + 1", FRONT), s="xx", n=0)
    assert run.ending is Ending.FAILED and run.error is not None
    assert run.error.code == "too-large" and run.error.state == "A"
    assert run.error.message.startswith("The variable 's' would take more than 0.1 MB")
    assert len(run.visits) < 50


@pytest.mark.parametrize(
    "action",
    [
        'Shell "yes"',
        'Shell "yes >&2"',
        'Shell "yes | head -c 40000"',
        'Prompt "x" result="v"',
        'Run workflow "child" result="v"',
        'Log "${s}${s}${s}"',
        'Abort "${s}${s}${s}"',
        'Prompt "${s}${s}${s}"',
        'Run workflow "child" with x="${s}${s}${s}"',
        'Log "{% for i in (1..3) %}{{ s }}{% endfor %}"',
        'Log "{{ (1..99999) }}"',
    ],
)
async def test_what_would_be_too_large_is_a_failure(bench: Bench, action: str) -> None:
    bench.write(
        "child", STRAIGHT, 'A: Set a="${p}", b="${p}", c="${p}"', "parameters: [{name: p, default: x}]"
    )
    child = bench.folder / "child.md"
    child.write_text(child.read_text().replace("default: x", f"default: {'y' * 40_000}"))
    workflow = bench.write("w", STRAIGHT, f"A: {action}")
    run = await bench.run(workflow, Told(["z" * 200_000]), s="s" * 40_000)
    assert run.ending is Ending.FAILED and run.error is not None
    assert (run.error.code, run.error.state) == ("too-large", "A")
    assert is_within(dict(run.variables), 10 * SMALL_BYTES)


async def test_the_results_of_branches_are_one_value(bench: Bench) -> None:
    workflow = bench.write("w", FORK, 'A: Prompt "a"\nB: Prompt "b"')
    run = await bench.run(workflow, Told(["z" * 60_000] * 2))
    assert run.ending is Ending.FAILED and run.error is not None
    assert (run.error.code, run.error.state) == ("too-large", "J")


async def test_a_failure_edge_takes_a_value_that_is_too_large(bench: Bench) -> None:
    diagram = '[*] --> A\nA --> B: error.kind == "too-large"\nB --> [*]'
    run = await bench.run(bench.write("w", diagram, 'A: Shell "yes"\nB: Log "${error.message}"'))
    assert run.ending is Ending.COMPLETED and "The command's output would take more" in bench.log[0]


def test_a_value_that_is_given_is_bounded_before_the_run(bench: Bench) -> None:
    path = bench.write("w", STRAIGHT, 'A: Log "${s}"', "parameters: [{name: s}]").path
    with pytest.raises(UsageError, match=r"given for 's' would take more than 0\.1 MB"):
        prepare(
            str(path),
            {"s": "x" * 100_001},
            bench.library,
            Settings(value_bytes=SMALL_BYTES),
            needs_models=False,
        )


@pytest.mark.parametrize(
    "text",
    [
        "{% assign r = (1..1000000000000) | reverse %}",
        "{{ (1..1000000000000) | size }}",
        "{{ items | join: s }}",
        "{{ s | replace: 's', s }}",
        "{{ s | replace: '', s }}",
        "{{ s | split: '' }}",
        "{{ s | indent: 100 }}{{ lines | indent: 100 }}",
        "{{ s | url_encode }}{{ umlauts | url_encode }}",
        "{{ items | concat: items | concat: items | concat: items | size }}",
        "{% assign a = items | concat: items %}{% assign b = a | concat: a %}{{ b | size }}",
        "{{ lines | newline_to_br | newline_to_br }}{{ s | prepend: s | prepend: s | size }}",
    ],
)
def test_a_filter_is_refused_before_it_makes_what_is_too_large(text: str) -> None:
    with limited(SMALL_BYTES), pytest.raises(TooLargeError, match=r"0\.1 MB"):
        fill(text, s="s" * 40_000, items=["x" * 10] * 1000, lines="\n" * 20_000, umlauts="ä" * 40_000)


@pytest.mark.parametrize("how", ["reversed", "offset: 999999999", "limit: 3"])
def test_a_loop_goes_through_no_endless_range(how: str) -> None:
    with pytest.raises(TemplateError, match="a range has more than 1,000,000 numbers"):
        fill("{% for i in (1..1000000000000) " + how + " %}x{% break %}{% endfor %}")


def test_numbers_and_dates_stay_small() -> None:
    doubling = "{% assign x = 9 %}{% for i in (1..60) %}{% assign x = x | times: x %}{% endfor %}"
    with pytest.raises(TemplateError, match="a number becomes too large"):
        fill(doubling)
    with pytest.raises(TemplateError, match="at most 1000 characters"):
        fill("{{ 'now' | date: f }}", f="%p" * 1000)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: read_json("[" + "1," * 20_000 + "1]"), "The value of this JSON"),
        (lambda: Record('{"a":' + "[]," * 9_000).part("json"), "The value of this JSON"),
        (lambda: lines_of("\r" * 20_000, "The lines"), "The lines"),
    ],
)
def test_what_takes_far_more_than_its_text_is_refused_before(make: Callable[[], object], what: str) -> None:
    with limited(SMALL_BYTES), pytest.raises(TooLargeError, match=what):
        make()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


@given(VALUES, st.integers(0, 300))
def test_a_value_is_within_what_it_takes_and_no_less(value: object, most: int) -> None:
    def size(one: object) -> int:
        if isinstance(one, str):
            return len(one.encode("utf-8", "surrogatepass"))
        if isinstance(one, list):
            return sum(16 + size(item) for item in one)
        if isinstance(one, dict):
            return sum(32 + size(name) + size(item) for name, item in one.items())
        return one.bit_length() // 8 if isinstance(one, int) and not isinstance(one, bool) else 0

    assert is_within(value, most) == (size(value) <= most)


# Filters that are Samovar's own for the sake of bounds, against Liquid's ----------------------------------


@given(
    st.lists(st.integers(0, 3) | st.text("ab", max_size=2) | st.dictionaries(st.just("k"), st.integers(0, 2)))
)
def test_uniq_keeps_what_liquid_keeps(items: list[object]) -> None:
    assert uniq(items) == array.uniq(items)
    maps = [item for item in items if isinstance(item, dict)]
    assert uniq(maps, "k") == array.uniq(maps, "k")


@given(st.text("ab \n\t", max_size=40), st.integers(-2, 12))
def test_truncatewords_gives_what_liquid_gives(text: str, count: int) -> None:
    assert truncatewords(text, count, "…") == string.truncatewords(text, count, "…")


@given(st.text("a\n\r\x0b\x85\u2028"))
def test_lines_are_counted_as_they_are_split(text: str) -> None:
    assert count_lines(text) == len(text.splitlines())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a <b>bold</b> word", "a bold word"),
        ("a < b and c > d", "a < b and c > d"),
        ("x<!-- <b> -->y<SCRIPT>z</script>w<style>q</style>", "xyw"),
        ("<p class='x'>&amp;</p> <", "&amp; <"),
        ("<script>" * 3, ""),
    ],
)
def test_tags_are_stripped(text: str, left: str) -> None:
    assert strip_html(text) == left


# Abort files ---------------------------------------------------------------------------------------------


async def test_a_run_that_begins_later_takes_no_abort_file_from_one_that_goes_on(bench: Bench) -> None:
    file = bench.folder / ABORT_FILE
    file.parent.mkdir()
    diagram = "[*] --> A\nA --> B\nB --> [*]"
    first = bench.write("first", diagram, 'A: Shell "until test -e go; do :; done"\nB: Log "first"')
    second = bench.write("second", diagram, 'A: Shell "touch go"\nB: Log "second"')
    endings: dict[str, Ending | None] = {}

    async def run(name: str) -> None:
        workflow = first if name == "first" else second
        runner = bench.runner(Told())
        endings[name] = (await runner.run(unchecked(workflow))).ending

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, "first")
            while not any(isinstance(event, StateEntered) for event in bench.events):
                await anyio.lowlevel.checkpoint()
            file.write_text("stop")
            tasks.start_soon(run, "second")
    assert endings == {"first": Ending.ABORTED, "second": Ending.COMPLETED}
    assert file.exists()
