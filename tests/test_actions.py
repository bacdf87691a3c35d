"""Action lines: how they are read, what they refuse, and what the small verbs do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.actions import VERBS, parse_action
from samovar.actions.base import Action, ActionContext, Outcome
from samovar.actions.defaults import PromptDefaults
from samovar.actions.options import OPTIONS
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.question import NO, YES, Asking, Filled, Reply
from samovar.actions.scanner import Scanner
from samovar.actions.set import Set
from samovar.actions.shell import Shell
from samovar.actions.wait import Wait
from samovar.actions.workflow import RunWorkflow
from samovar.config import Settings
from samovar.errors import (
    ActionError,
    ExpressionError,
    FaultsError,
    Place,
    RefusedError,
    TemplateError,
    UnansweredError,
)

pytestmark = pytest.mark.anyio
HERE = Place(path=Path("w.md"), line=10, column=11)


async def nobody(_: object) -> None:
    """There is nobody to ask."""


class Said:
    """What an action said, and a context for it without a library or a connection."""

    def __init__(self, **variables: object) -> None:
        self.logged: list[tuple[str, str]] = []
        self.variables = variables

    def context(self, **changes: Any) -> ActionContext:
        nothing = cast(Any, None)
        values: dict[str, Any] = {
            "variables": self.variables,
            "workflow": nothing,
            "library": nothing,
            "defaults": PromptDefaults(),
            "folder": Path.cwd(),
            "settings": Settings(),
            "ask": nothing,
            "run_workflow": nothing,
            "ask_user": nobody,
            "log": lambda level, text: self.logged.append((level, text)),
            "warn": lambda message: None,
        }
        return ActionContext(**{**values, **changes})


async def perform(text: str, **variables: object) -> Outcome:
    with anyio.fail_after(60):
        return await parse_action(text, HERE).perform(Said(**variables).context())


def faults(text: str) -> list[tuple[str, int]]:
    with pytest.raises(FaultsError) as caught:
        parse_action(text, HERE)
    return [(fault.code, fault.place.column) for fault in caught.value.faults]


def message(text: str) -> str:
    with pytest.raises(FaultsError) as caught:
        parse_action(text, HERE)
    return caught.value.faults[0].message


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ('Shell "a" env={}', "`env` must be a map"),
        ('Prompt "a" with args={} for each x in xs', "`args` must be a map"),
    ],
)
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_map_that_is_nested_too_deeply_to_be_read_is_said_to_be_none(
    action: str, said: str, quote: str
) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert message(action.replace("{}", f"{quote}{deep}{quote}")).startswith(said)


@pytest.mark.parametrize(
    ("text", "verb", "names", "sets"),
    [
        ('Log "hi ${x}"', "log", {"x"}, set()),
        ("log WARNING 'a \"b\" {{ y | upcase }}'", "log", {"y"}, set()),
        ('LOG "debug" "text"', "log", set(), set()),
        ('Execute prompt "p" with a="${x}", b=5 result="r" using model=${m}', "prompt", {"x", "m"}, {"r"}),
        ('Execute prompt "p" result="r"', "prompt", set(), {"r"}),
        ('Prompt "Say {{ x }} {{ y }}" with x="{{ z }}"', "prompt", {"y", "z"}, set()),
        ("Set n := n + m.k", "set", {"n", "m"}, {"n"}),
        ('Set a="1", b="${a} ${c}"', "set", {"c"}, {"a", "b"}),
        ("set_variable x=5", "set", set(), {"x"}),
        ("cel_set n n + 1", "set", {"n"}, {"n"}),
        ('Set n="${n + k}"', "set", {"n", "k"}, {"n"}),
        ("Wait 5 seconds", "wait", set(), set()),
        ("Wait ${d} min", "wait", {"d"}, set()),
        ('Wait for user input "ready, ${who}?"', "wait", {"who"}, set()),
        ('Run workflow "Sub" with a={{ x.y }} result="r" timeout=5s', "workflow", {"x"}, {"r"}),
        ('Delegate to "Sub" with input="a"', "workflow", set(), set()),
        ('Delegate "Sub"', "workflow", set(), set()),
        ('Shell "echo {{ x }}" with result="v" env={"K":"${k}"}', "shell", {"x", "k"},
         {"v", "stdout", "stderr", "exit_code", "duration_s"}),
        ("Abort", "abort", set(), set()),
        ('Abort with message "m ${x}"', "abort", {"x"}, set()),
        ('Log {% if a %}"x ${b}"{% else %}"{{ c }}"{% endif %}', "log", {"a", "b", "c"}, set()),
    ],
)  # fmt: skip
def test_actions_know_what_they_read_and_set(text: str, verb: str, names: set[str], sets: set[str]) -> None:
    action = parse_action(text, HERE)
    assert (action.verb, set(action.names), set(action.sets)) == (verb, names, sets)
    assert isinstance(action, Action)
    assert action.place == HERE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Initialize workflow", [("unknown-action", 11)]),
        ("Lgo 'x'", [("unknown-action", 11)]),
        ("", [("unknown-action", 11)]),
        ("Log", [("action-syntax", 14)]),
        ("Log hello", [("action-syntax", 15)]),
        ('Log "open', [("open-text", 15)]),
        ('Log "a" "b"', [("action-syntax", 19)]),
        ('Log "${a b}"', [("condition-syntax", 20)]),
        ('Log "a ${b" with', [("condition-syntax", 18)]),
        ('Log "a ${"', [("condition-syntax", 18)]),
        ("Run tests", [("action-syntax", 15)]),
        ("Wait for it", [("action-syntax", 20)]),
        ("Wait 5 mnutes", [("action-syntax", 18)]),
        ("Wait", [("action-syntax", 15)]),
        ("Set x", [("action-syntax", 15)]),
        ("Set x=", [("action-syntax", 17)]),
        ("Set x := 1 +", [("condition-syntax", 23)]),
        ('Execute prompt "p" wiht a=1', [("action-syntax", 30)]),
        ('Execute prompt "p" with a=1 a=2', [("action-syntax", 39)]),
        ('Prompt "p" result="1x"', [("action-syntax", 29)]),
        ('Prompt "p" using temprature=1', [("unknown-option", 28)]),
        (
            'Prompt "p" using temperature=hot max_tokens=0',
            [("option-value", 40), ("option-value", 55)],
        ),
        ('Prompt "p" using choices="a|b" stop="x"', [("option-value", 42)]),
        ('Shell "x" with tiemout=3', [("unknown-option", 26)]),
        ('Shell "x" with timeout=soon', [("option-value", 34)]),
        ('Shell "x" with timeout=0', [("option-value", 34)]),
        ('Shell "x" with env=5', [("option-value", 30)]),
        ('Shell "x" with retry_safe=maybe', [("option-value", 37)]),
        ('Shell "  "', [("action-syntax", 17)]),
        ('Shell "echo $(( {{ x }} ))"', [("shell-value", 27)]),
        ('Run workflow "w" with timeout=soon', [("option-value", 41)]),
    ],
)
def test_what_is_wrong_has_a_code_and_a_place(text: str, expected: list[tuple[str, int]]) -> None:
    assert faults(text) == expected


def test_misspelt_words_come_with_the_nearest_right_one() -> None:
    assert "Did you mean 'Log'" in message('Lgo "x"')
    assert "Did you mean 'temperature'" in message('Prompt "p" using temprature=1')
    assert "Did you mean 'timeout'" in message('Shell "x" with tiemout=3')


def test_a_fault_in_a_continuation_line_has_that_line() -> None:
    with pytest.raises(FaultsError) as caught:
        parse_action('Execute prompt "p"\nusing temprature=1', HERE)
    assert caught.value.faults[0].place == Place(path=Path("w.md"), line=11, column=7)


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("temperature", ["0", "0.7", '"1"', "2"], ["hot", "-1", "2.1", "nan", "true", '""']),
        ("max_tokens", ["1", '"512"'], ["0", "-5", "1.5", "many", "1e999"]),
        ("seed", ["0", "4294967295"], ["-1", "4294967296", "x"]),
        ("top_p", ["1", "0.1"], ["0", "1.1"]),
        ("top_k", ["0", "40"], ["-1", "0.5"]),
        ("min_p", ["0", "1"], ["-0.1", "2"]),
        ("repeat_penalty", ["1.1"], ["0", "-1", "100"]),
        ("choices", ['"yes|no"', '["a","b"]', '"one"'], ['""', '"a||b"', '"|"', "[]", '[""]']),
        ("stop", ['"END"', '["a","b"]'], ['""', "[]", '["a",""]']),
        ("timeout", ["30", "30s", '"2 min"'], ["soon", "0", "-1", "true"]),
        ("model", ['"m.gguf"'], ['""', "true", "[1]"]),
        ("session", ["chat"], ['"  "']),
        ("fork", ["chat", '"a b"'], ['"  "', "true"]),
        ("overflow", ["error", '"drop_oldest"'], ["drop", "true", '""']),
        ("deterministic", ["true", '"false"'], ["1", "maybe", '""']),
        ("think", ["on", "off", "true", '"false"'], ["1", "maybe", '""', "high"]),
        (
            "template",
            ['{"enable_thinking": false}', "none", '"none"', "'{\"a\": [1]}'", "{}"],
            ["[1]", "1", '"no"', '""', "true", '{"messages": []}', '{"bos_token": "x", "a": 1}'],
        ),
    ],
)
def test_options_take_what_they_can_and_nothing_else(option: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        parse_action(f'Prompt "p" using {option}={text}', HERE)
    for text in bad:
        assert faults(f'Prompt "p" using {option}={text}')[0][0] == "option-value", text


def test_without_a_template_there_is_no_place_for_a_system_text_and_nothing_to_turn_off() -> None:
    for option in ('system="Be kind."', "think=off"):
        assert faults(f'Prompt "p" using template=none {option}')[0][0] == "option-value"


LANGUAGE = {
    *(
        "model",
        "session",
        "fork",
        "schema",
        "show_schema",
        "choices",
        "regex",
        "grammar",
        "max_tokens",
        "temperature",
    ),
    *("top_p", "top_k", "min_p", "repeat_penalty", "seed", "stop", "tools", "system", "executor"),
    *("timeout", "think", "template", "overflow", "deterministic", "tool_choice", "tool_rounds"),
}


def test_every_option_of_the_language_is_known() -> None:
    assert set(OPTIONS) == LANGUAGE


def test_options_from_variables_are_checked_when_they_are_known() -> None:
    action = parse_action('Prompt "p" using temperature=${t} choices="${c}" seed={{ s }}', HERE)
    assert isinstance(action, ExecutePrompt)
    chosen = action.using.choose({"t": "0.5", "c": ["a", "b"], "s": 7}, PromptDefaults(), None)
    assert chosen.options.sampling.temperature == 0.5
    assert chosen.options.choices == ("a", "b")
    assert chosen.options.sampling.seed == 7
    stopping = cast(ExecutePrompt, parse_action('Prompt "p" using stop="\\n"', HERE))
    assert stopping.using.choose({}, PromptDefaults(), None).options.stop == ("\n",)
    with pytest.raises(ActionError, match="`temperature` cannot be 'hot'"):
        action.using.choose({"t": "hot", "c": "a", "s": 1}, PromptDefaults(), None)


def test_defaults_fill_in_what_a_prompt_does_not_say() -> None:
    defaults = PromptDefaults(model="m", seed=3, timeout_s=9)
    plain = cast(ExecutePrompt, parse_action('Prompt "p"', HERE)).using.choose({}, defaults, None)
    assert (plain.model, plain.options.sampling.seed, plain.options.timeout_s) == ("m", 3, 9)
    own = cast(ExecutePrompt, parse_action('Prompt "p" using model=o seed=4 timeout=1s', HERE))
    chosen = own.using.choose({}, defaults, None)
    assert (chosen.model, chosen.options.sampling.seed, chosen.options.timeout_s) == ("o", 4, 1)
    assert own.using.choose({}, PromptDefaults(model="m", forced_model="f"), None).model == "f"


@given(st.text(), st.sampled_from("\"'"))
def test_a_text_in_quotes_reads_back_as_it_was(content: str, quote: str) -> None:
    escaped = re.sub(r"(\\*)" + quote, lambda found: found.group(1) * 2 + "\\" + quote, content)
    escaped = re.sub(r"(\\+)\Z", lambda found: found.group(1) * 2, escaped)
    if re.search(r"[{$\0]", content):
        return
    value = Scanner(text=f"{quote}{escaped}{quote} rest", place=HERE).quoted()
    assert value is not None
    assert value.given == content


@given(st.text(alphabet=st.sampled_from(list("\"'\\{}%$|=, abt1[]:\n")), max_size=40), st.sampled_from(VERBS))
def test_any_text_is_an_action_or_faults(text: str, verb: Any) -> None:
    try:
        parse_action(f"{verb.words[0]} {text}", HERE)
    except FaultsError as error:
        assert error.faults


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        ('Set a="1", b="2"', {"a": "1", "b": "2"}),
        (
            'Set v="1.10", e="1e5", t="true", m=\'{"a": 1}\'',
            {"v": "1.10", "e": "1e5", "t": "true", "m": '{"a": 1}'},
        ),
        ('Set v=1.10, t=true, m={"a": 1}', {"v": 1.1, "t": True, "m": {"a": 1}}),
        ("Set a=5", {"a": 5}),
        ("Set a=true, b=null", {"a": True, "b": None}),
        (
            'Set a={"x": "1, b = 2", "y": [1, 2]}, c=[1, "z, q=1"]',
            {"a": {"x": "1, b = 2", "y": [1, 2]}, "c": [1, "z, q=1"]},
        ),
        ("Set a = hello, world, b=don't stop", {"a": "hello, world", "b": "don't stop"}),
        ('Set a="x, b=2"', {"a": "x, b=2"}),
        ("Set a := [1, 2].map(x, x + n), b := 'c, d = 1'", {"a": [6, 7], "b": "c, d = 1"}),
        ('Set a="{{ l }}", b="n is ${n}", c="${l}"', {"a": "[1]", "b": "n is 5", "c": [1]}),
        ("Set a=1, b := a + 1", {"a": 1, "b": 2}),
        ('Set a="${l[n - 5] + 1}", b="${ {"k": n}["k"] }"', {"a": 2, "b": 5}),
        ('Set a="${t}"', {"a": "5"}),
        ("Set a={{ n | plus: 1 }}", {"a": 6}),
        ("cel_set n n * 2", {"n": 10}),
        ('Set n="${n + 1}", m=${ size(l) }, t="${n}"', {"n": 6, "m": 1, "t": 6}),
    ],
)
async def test_set_gives_variables_their_values(text: str, sets: Mapping[str, object]) -> None:
    outcome = await perform(text, n=5, l=[1], t="5")
    assert outcome.sets == sets


async def test_set_fails_where_the_expression_cannot_be_computed() -> None:
    with pytest.raises(ExpressionError, match="no variable 'm'"):
        await perform("Set n := m + 1", n=1)


async def test_log_shows_its_text_at_its_level() -> None:
    said = Said(x="{{ y }}")
    for text in ('Log "a ${x}"', 'Log error "b"', "Log warn 'c'"):
        await parse_action(text, HERE).perform(said.context())
    assert said.logged == [("info", "a {{ y }}"), ("error", "b"), ("warning", "c")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wait 0", 0),
        ("Wait 1s", 1),
        ("Wait 200ms", 0.2),
        ("Wait 2 min for it", 120),
        ("Wait 1.5 hours", 5400),
    ],
)
def test_wait_reads_durations(text: str, seconds: float) -> None:
    assert cast(Wait, parse_action(text, HERE)).seconds == pytest.approx(seconds)


async def test_wait_takes_a_duration_from_a_variable() -> None:
    await perform("Wait ${d} ms", d=1)
    await perform('Wait "${d}"', d="1ms")
    with pytest.raises(ActionError, match="not 'long'"):
        await perform("Wait ${d}", d="long")


async def test_waiting_for_a_user_needs_one() -> None:
    action = parse_action('Wait for user input "Ready, ${who}?"', HERE)
    with pytest.raises(UnansweredError, match="--yes"):
        await action.perform(Said(who="Ann").context())
    asked = []

    async def ask(asking: Asking) -> Reply:
        asked.append(asking.parts)
        return YES

    await action.perform(Said(who="Ann").context(ask_user=ask))
    assert asked == [("Ready, ", Filled("Ann"), "?")]


async def test_a_user_may_say_no() -> None:
    async def ask(asking: Asking) -> Reply:
        return NO

    with pytest.raises(RefusedError) as refused:
        await parse_action("Wait for user input", HERE).perform(Said().context(ask_user=ask))
    assert refused.value.code == "refused"


async def test_abort_gives_its_reason() -> None:
    assert (await perform('Abort "no ${x}"', x="way")).abort == "no way"
    assert (await perform("Abort")).abort


async def test_what_is_literal_in_a_line_with_tags_stays_literal() -> None:
    said = Said(a=True, v="x")
    text = 'Log {% if a %}"{% raw %}{{ v }} {% if %}{% endraw %} {{ v }}"{% endif %}'
    await parse_action(text, HERE).perform(said.context())
    assert said.logged == [("info", "{{ v }} {% if %} x")]


LINE = 'Execute prompt "p" with name="{{ who }}" {% if loud %}loud=true{% endif %} result="r"'


async def test_tags_around_parts_of_a_line_are_expanded_and_values_stay_values() -> None:
    text = '{% if a %}Log "x {{ v }}"{% elsif b %}Log error {{ q }}"${v}"{% endif %}'
    for variables, logged in (
        ({"a": True, "v": '" with {% if %} ${v}'}, [("info", 'x " with {% if %} ${v}')]),
        ({"a": False, "b": False}, []),
    ):
        said = Said(**variables)
        await parse_action(text, HERE).perform(said.context())
        assert said.logged == logged
    with pytest.raises(FaultsError):
        await perform(text, a=False, b=True, q='" ', v="x")


async def test_a_line_with_tags_must_be_an_action_in_some_way() -> None:
    assert parse_action(LINE, HERE).sets == {"r"}
    assert parse_action('{% unless a %}Log "x"{% endunless %}', HERE).verb == "log"
    assert parse_action('{% case a %}{% when 1 %}Log "x"{% else %}Abort{% endcase %}', HERE).verb == "log"
    assert faults('{% if a %}Lgo "x"{% endif %}')[0][0] == "unknown-action"
    assert faults("{% if a %}{% endif %}")[0][0] == "action-syntax"


async def test_tags_within_one_text_belong_to_that_text() -> None:
    said = Said(x="q")
    await parse_action("""Log "a{% if x == "q" %}b{% endif %}" """, HERE).perform(said.context())
    assert said.logged == [("info", "ab")]


async def test_a_missing_variable_fails_the_action_and_names_the_nearest() -> None:
    with pytest.raises(TemplateError, match="Did you mean 'report'"):
        await perform('Log "${repotr}"', report="x")


def test_the_parts_of_the_longer_forms_are_read() -> None:
    shell = cast(Shell, parse_action('Shell "x" with timeout=2min working-dir="d" retry_safe=true', HERE))
    assert shell.launch.retry_safe and shell.is_repeatable
    assert not parse_action('Shell "x"', HERE).is_repeatable
    assert not parse_action('{% if n %}Shell "x"{% else %}Log "y"{% endif %}', HERE).is_repeatable
    assert parse_action('Log "x"', HERE).is_repeatable
    assert shell.launch.folder is not None and shell.timeout is not None
    child = cast(RunWorkflow, parse_action('Run workflow "w" with result="r" input="a"', HERE))
    assert [pair.key for pair in child.given] == ["input"]
    assert child.result == "r"
    several = cast(Set, parse_action("Set a=1,b=2", HERE))
    assert [assignment.name for assignment in several.assignments] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Set a="{% if n > 4 %}true{% else %}false{% endif %}"', "true"),
        ("Set a={% if n > 4 %}7{% endif %}", 7),
        ('Set a="{% if n > 4 %}{{ t }}{% endif %}"', "5"),
        ('Set a="{% if n > 4 %}[{{ t }}]{% endif %}"', "[5]"),
        ("Set a={% for i in l %}1{% endfor %}", 1),
    ],
)
async def test_what_tags_leave_of_the_authors_own_text_is_a_literal(text: str, value: object) -> None:
    assert (await perform(text, n=5, l=[1], t="5")).sets == {"a": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Set a="1.10"', 1.1),
        ('Set a="true"', True),
        ('Set a="x"', "x"),
        ('Set a="{{ l }}"', [1]),
        ('Set a="{% if true %}7{% endif %}"', 7),
        ('Set a="${l.size}"', 1),
        ('Set a="${l.first}"', 1),
    ],
)
async def test_old_files_keep_the_types_of_their_values(text: str, value: object) -> None:
    action = parse_action(text, HERE, is_old=True)
    assert isinstance(action, Set)
    assert action.assignments[0].of({"l": [1]}) == value


@pytest.mark.parametrize(
    "text",
    [
        "Wait for user confirmation",
        "wait for user",
        "Please wait for user ${n}",
        "Wait for user input then go",
    ],
)
async def test_older_ways_to_wait_for_the_user_show_their_text(text: str) -> None:
    shown: list[str] = []

    async def ask(asking: Asking) -> Reply:
        shown.append(asking.text)
        return YES

    await parse_action(text, HERE).perform(Said(n=5).context(ask_user=ask))
    assert shown == [text.replace("${n}", "5")]


EVERY_LINE = (
    'Execute prompt "p" with a=1 result="v" using max_tokens=3',
    'Prompt "x" result="v"',
    'Log "x"',
    'Set a="x", b=2',
    "Set a := 1 + 2",
    "Wait 5 s",
    'Wait for user input "x"',
    'Run workflow "w" with a=1',
    'Shell "x" result="v"',
    'Command ["x"] result="v"',
    'Read "x" as lines result="v"',
    'Write "x" with value="y"',
    'Find "*" result="v"',
    'Ask "x" choices="a|b" result="v"',
    'Approve "x"',
    'Abort "x"',
    "For each x in xs",
)


def test_every_action_takes_a_time_limit_at_the_end_of_its_line() -> None:
    assert {type(parse_action(line, HERE)) for line in EVERY_LINE} >= set(VERBS)
    for line in EVERY_LINE:
        if "using" in line:  # whose timeout is about the model
            line = line.replace(" using", " timeout=${limit} using")
        else:
            line += " timeout=${limit}"
        action = parse_action(line, HERE)
        assert action.timeout is not None, line
        assert "limit" in action.names, line
        assert parse_action(line.replace("${limit}", "2min"), HERE).timeout is not None, line
        with pytest.raises(FaultsError):
            parse_action(line.replace("${limit}", "soon"), HERE)
