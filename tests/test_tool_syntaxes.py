"""How families of models write calls: found in templates, read back from what they publish, ids that last."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.call_gemma import GemmaCalls
from samovar.engines.call_json import OWN, RESULT, JsonCalls
from samovar.engines.call_keywords import PythonCalls, XmlCalls
from samovar.engines.call_messages import in_own_words, one_by_one
from samovar.engines.call_reader import CallReader
from samovar.engines.call_schemas import text_schema, text_terminal
from samovar.engines.call_syntaxes import TOOLS
from samovar.engines.calls import (
    CallSyntax,
    UnenforceableError,
    WritingSyntax,
    call_id,
    callable_of,
    calls_of,
    tools_of,
)
from samovar.errors import EngineError
from samovar.generation import Message, Options, ToolCall, ToolDefinition
from samovar.serving.conversation import without_oldest

HERMES = JsonCalls(
    name="json",
    trigger="<tool_call>",
    begins='\n{"name": "',
    between='", "arguments": ',
    ends="}",
    following='\n</tool_call>\n<tool_call>\n{"name": "',
    closes="\n</tool_call>",
)
LLAMA = JsonCalls(
    name="json",
    trigger='{"name": "',
    begins="",
    between='", "parameters": ',
    ends="}",
    following="",
    at_head=True,
    most=1,
)
MISTRAL = JsonCalls(
    name="json",
    trigger="[TOOL_CALLS]",
    begins='[{"name": "',
    between='", "arguments": ',
    ends="}",
    following=', {"name": "',
    closes="]",
)
FLAT = JsonCalls(
    name="flat", trigger="[TOOL_CALLS]", begins="", between="[ARGS]", ends="", following="[TOOL_CALLS]"
)
LFM2 = PythonCalls(trigger="<|tool_call_start|>", closes="<|tool_call_end|>")
CODER = XmlCalls(
    trigger="<tool_call>",
    begins="\n<function=",
    between=">\n",
    value=">\n",
    value_ends="\n</parameter>\n",
    ends="</function>",
    following="\n</tool_call>\n<tool_call>\n<function=",
    closes="\n</tool_call>",
)
GEMMA = GemmaCalls(
    trigger="<|tool_call>", quote='<|"|>', following="<tool_call|><|tool_call>", closes="<tool_call|>"
)
FUNCTION_GEMMA = GemmaCalls(
    trigger="<start_function_call>",
    quote="<escape>",
    following="<end_function_call><start_function_call>",
    closes="<end_function_call>",
)
PUBLISHED: list[tuple[CallSyntax, str, list[tuple[str, dict[str, Any]]]]] = [
    (
        HERMES,
        '<tool_call>\n{"name": "get_current_temperature", "arguments": {"location": "San Francisco"}}'
        '\n</tool_call>\n<tool_call>\n{"name": "get_temperature_date", "arguments": {"location": '
        '"San Francisco", "date": "2024-10-01"}}\n</tool_call>',
        [
            ("get_current_temperature", {"location": "San Francisco"}),
            ("get_temperature_date", {"location": "San Francisco", "date": "2024-10-01"}),
        ],
    ),
    (
        HERMES,
        '<tool_call>\n{"arguments": {"symbol": "TSLA"}, "name": "get_stock_fundamentals"}\n</tool_call>',
        [("get_stock_fundamentals", {"symbol": "TSLA"})],
    ),
    (
        LLAMA,
        '{"name": "get_current_conditions", "parameters": {"location": "San Francisco, CA", "unit": "F"}}',
        [("get_current_conditions", {"location": "San Francisco, CA", "unit": "F"})],
    ),
    (
        MISTRAL,
        '[TOOL_CALLS] [{"name": "get_current_weather", "arguments": {"location": "Paris, France", "format": '
        '"celsius"}}]',
        [("get_current_weather", {"location": "Paris, France", "format": "celsius"})],
    ),
    (
        FLAT,
        '[TOOL_CALLS]getpop[CALL_ID]Xq2bB9Kt1[ARGS]{"city": "NYC"}[TOOL_CALLS]now[ARGS]{}',
        [("getpop", {"city": "NYC"}), ("now", {})],
    ),
    (
        LFM2,
        '<|tool_call_start|>[get_candidate_status(candidate_id="12345")]<|tool_call_end|>',
        [("get_candidate_status", {"candidate_id": "12345"})],
    ),
    (
        LFM2,
        "<|tool_call_start|>[f(a='it\\'s', b=True, c=[1, 'x'], d={'k': None}), g()]<|tool_call_end|>",
        [("f", {"a": "it's", "b": True, "c": [1, "x"], "d": {"k": None}}), ("g", {})],
    ),
    (
        CODER,
        "<tool_call>\n<function=square_the_number>\n<parameter=input_num>\n1024\n</parameter>\n</function>\n"
        "</tool_call>",
        [("square_the_number", {"input_num": 1024})],
    ),
    (
        GEMMA,
        '<|tool_call>call:get_current_temperature{location:<|"|>London<|"|>}<tool_call|>',
        [("get_current_temperature", {"location": "London"})],
    ),
    (
        FUNCTION_GEMMA,
        "<start_function_call>call:get_weather{location:<escape>Tokyo<escape>,days:[1,2],deep:{a:true}}"
        "<end_function_call><start_function_call>call:get_stock_price{symbol:<escape>GOOG, {x}<escape>}"
        "<end_function_call>",
        [
            ("get_weather", {"location": "Tokyo", "days": [1, 2], "deep": {"a": True}}),
            ("get_stock_price", {"symbol": "GOOG, {x}"}),
        ],
    ),
    (OWN, '[[call]] {"name": "a.b", "arguments": {"x": "]]"}}\n[[call]] {"name": "c", "arguments": {}}', [
        ("a.b", {"x": "]]"}),
        ("c", {}),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("syntax", "text", "wanted"), PUBLISHED)
def test_a_published_example_is_read_as_its_calls(
    syntax: CallSyntax, text: str, wanted: list[tuple[str, dict[str, Any]]]
) -> None:
    assert [(one.name, one.arguments) for one in syntax.read(text, [])] == wanted


@pytest.mark.parametrize("text", ["", "<tool_call>", "nothing", '<tool_call>{"name": ', "{}"])
@pytest.mark.parametrize("syntax", [HERMES, FLAT, LFM2, CODER, GEMMA])
def test_what_is_no_call_is_an_error_and_not_no_calls(syntax: CallSyntax, text: str) -> None:
    reader = CallReader(syntax, [])
    reader.open()
    reader.parted([("text", text)])
    with pytest.raises(EngineError, match="not a call"):
        reader.calls()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [HERMES, LLAMA, MISTRAL, FLAT, LFM2, OWN])
@given(arguments=st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES, max_size=4))
def test_what_is_written_is_read_back(syntax: WritingSyntax, arguments: dict[str, Any]) -> None:
    calls = [
        ToolCall(id=str(number), name=f"t.{number}", arguments=json.dumps(arguments)) for number in range(2)
    ]
    calls = calls[: syntax.most]
    text = "".join(piece.text for piece in syntax.written(calls))
    assert [(one.name, one.arguments) for one in syntax.read(text, [])] == [
        (call.name, arguments) for call in calls
    ]


@given(
    said=st.text(max_size=40),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    syntax=st.sampled_from([HERMES, OWN, MISTRAL]),
)
def test_text_before_calls_is_text_however_the_answer_is_cut(
    said: str, cuts: list[int], syntax: WritingSyntax
) -> None:
    said = said.replace(syntax.trigger, "")
    calls = "".join(
        piece.text for piece in syntax.written([ToolCall(id="", name="f", arguments='{"a": "b"}')])
    )
    whole = said + calls
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    reader = CallReader(syntax, [])
    runs = []
    for start, end in pairwise(places):
        runs += reader.parted([("text", whole[start:end])])
    runs += reader.finish()
    assert "".join(text for kind, text in runs if kind == "text") == whole[: whole.index(syntax.trigger)]
    assert [(call.name, call.arguments) for call in reader.calls()] == [("f", '{"a": "b"}')]


def test_an_id_is_the_same_each_time_and_another_for_each_call() -> None:
    called = OWN.read('[[call]] {"name": "f", "arguments": {}}\n[[call]] {"name": "f", "arguments": {}}', [])
    calls = calls_of(called, 0)
    assert calls == calls_of(called, 0)
    assert len({call.id for call in (*calls, *calls_of(called, 2))}) == 4
    assert all(len(call.id) == 9 and call.id.isalnum() for call in calls)
    assert call_id("x") != call_id("y")


def test_tools_that_cannot_be_offered_are_named() -> None:
    for definition in (
        ToolDefinition(name="bad name", description="", parameters="{}"),
        ToolDefinition(name="f", description="", parameters="not JSON"),
        ToolDefinition(name="f", description="", parameters='{"type": "array"}'),
        ToolDefinition(name="f", description="", parameters="[]"),
    ):
        with pytest.raises(EngineError, match=repr(definition.name)):
            tools_of(Options(tools=(definition,)))
    with pytest.raises(EngineError, match="Two tools"):
        tools_of(Options(tools=(TOOLS[0], TOOLS[0])))
    with pytest.raises(EngineError, match="'other' is not offered"):
        tools_of(Options(tools=TOOLS, tool_choice="other"))
    assert [tool.name for tool in callable_of(Options(tools=TOOLS, tool_choice=TOOLS[1].name))] == [
        TOOLS[1].name
    ]


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "string", "maxLength": 3}, {"type": "string", "maxLength": 3}),
        ({"type": ["string", "null"]}, {"type": "string"}),
        ({"enum": ["a", 1, None]}, {"enum": ["a"]}),
        ({"const": "a"}, {"enum": ["a"]}),
        (
            {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 1}]},
            {"type": "string", "minLength": 1},
        ),
        ({"oneOf": [{"type": "string"}, {"enum": ["a"]}]}, None),
        ({"type": "integer"}, None),
        ({"enum": [1, 2]}, None),
        ({}, None),
    ],
)
def test_of_a_schema_a_text_is_taken_where_it_may_be_one(
    schema: dict[str, Any], wanted: dict[str, Any] | None
) -> None:
    assert text_schema(schema) == wanted


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "iri"},
        {"type": "string", "pattern": "a$|^b"},
        {"type": "string", "pattern": "^a|b$"},
        {"type": "string", "not": {"const": "a"}},
        {"enum": ["a\n</parameter>b"]},
    ],
)
def test_what_a_plain_text_cannot_be_held_to_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(UnenforceableError):
        text_terminal(schema, "\n</parameter>")


@given(st.text(max_size=60))
def test_a_result_in_our_own_convention_is_one_line_of_json(content: str) -> None:
    call = ToolCall(id="1", name="f", arguments="{}")
    asked = Message(role="assistant", content="", calls=(call,))
    *_, told = in_own_words([asked, Message(role="tool", content=content, call=call)], ())
    assert told.role == "user" and len(told.content.split("\n")) == 1
    assert json.loads(told.content.removeprefix(RESULT)) == {"name": "f", "result": content}


def test_in_our_own_convention_definitions_come_first_and_results_are_one_message() -> None:
    calls = tuple(ToolCall(id=str(number), name="f", arguments='{"x": 1}') for number in range(2))
    told = in_own_words(
        [
            Message(role="system", content="Be short."),
            Message(role="user", content="Go."),
            Message(role="assistant", content="Well.", calls=calls),
            *(Message(role="tool", content="done", call=call) for call in calls),
            Message(role="user", content="And?"),
        ],
        TOOLS,
    )
    assert [message.role for message in told] == ["system", "user", "assistant", "user"]
    assert told[0].content.index(TOOLS[1].name) < told[0].content.index("Be short.")
    assert told[2].content.startswith("Well.\n[[call]] ") and not told[2].calls
    assert told[3].content.count(RESULT) == 2 and told[3].content.endswith("And?")


def test_several_calls_become_one_by_one_with_their_results() -> None:
    calls = tuple(ToolCall(id=str(number), name=f"f{number}", arguments="{}") for number in range(3))
    results = [Message(role="tool", content=f"r{call.id}", call=call) for call in calls]
    before, after = Message(role="user", content="Go."), Message(role="user", content="And?")
    parted = one_by_one([before, Message(role="assistant", content="Well.", calls=calls), *results, after])
    assert [message.content for message in parted] == ["Go.", "Well.", "r0", "", "r1", "", "r2", "And?"]
    assert [message.calls for message in parted[1::2]] == [*((call,) for call in calls), ()]


def test_forgetting_never_parts_a_call_from_its_result() -> None:
    call = ToolCall(id="1", name="f", arguments="{}")
    exchange = [
        Message(role="user", content="Go."),
        Message(role="assistant", content="", calls=(call,)),
        Message(role="tool", content="done", call=call),
        Message(role="assistant", content="It is."),
    ]
    messages = (*exchange, *exchange, Message(role="user", content="And?"))
    for excess in range(1, 400):
        left = without_oldest(messages, excess)
        assert left is not None and left[0].role == "user"
        called = {one.id for message in left for one in message.calls}
        assert all(message.call.id in called for message in left if message.call is not None)
    assert without_oldest(tuple(exchange), 1) is None
