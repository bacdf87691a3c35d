"""Calls of tools by tiny models in the format of each family: found, enforced, parted from text, reused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samovar.engines.base import Finished
from samovar.engines.llama.chat import ChatTemplate
from samovar.engines.llama.counting import open_template
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import EngineError
from samovar.generation import (
    FinishReason,
    Message,
    Options,
    PromptEvaluating,
    Sampling,
    TextGenerated,
    ToolCall,
    ToolDefinition,
)
from samovar.models.snapshots import Snapshots
from tests.call_templates import FAMILIES
from tests.on_tiny import loaded, user
from tests.test_form_properties import schema_of
from tests.tiny import CHATML, CONTROL, add_bytes, make_tiny

jsonschema = pytest.importorskip("jsonschema")  # among the packages for tests

pytestmark = pytest.mark.anyio

CALLS_PER_FAMILY = int(os.environ.get("SAMOVAR_TEST_CALLS", "0"))
AT_ONCE = 8
CONTEXT = 32768
OPTIONAL = {"type": "string", "maxLength": 6}
PARAMETERS: dict[str, dict[str, Any]] = {
    "read": {
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "maxLength": 12},
            "lines": {"type": "integer", "minimum": 1, "maximum": 99},
            "how": {"enum": ["text", "bytes"]},
        },
        "required": ["path"],
    },
    "files.write-2": {
        "type": "object",
        "properties": {
            "content": {"type": "string", "maxLength": 30},
            "append": {"type": "boolean"},
            "mode": {"type": ["string", "null"], "maxLength": 4},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 3},
        },
        "required": ["append", "content", "tags"],
    },
    "now": {"type": "object", "properties": {}},
    "deep": {
        "type": "object",
        "properties": {
            "place": {
                "type": "object",
                "properties": {"x": {"type": "number", "minimum": 0, "maximum": 9}, "name": OPTIONAL},
                "required": ["x"],
                "additionalProperties": False,
            },
            "of": {"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}]},
        },
        "required": ["place", "of"],
        "$defs": {"Kind": {"enum": ["a b", "c\"d'", "é"]}},
    },
}
TOOLS = tuple(
    ToolDefinition(name=name, description=f"About {name}.", parameters=json.dumps(parameters))
    for name, parameters in PARAMETERS.items()
)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    paths = {}
    for number, (name, family) in enumerate(FAMILIES.items()):
        control = (CONTROL[0], CONTROL[1], *family.controls, CONTROL[2])
        paths[name] = make_tiny(
            folder / f"{number}.gguf",
            chat_template=family.template,
            context=CONTEXT,
            vocabulary=add_bytes(control, family.user_defined),
        )
    paths["own"] = make_tiny(folder / "own.gguf", chat_template=CHATML, context=CONTEXT)
    return paths


ALL = [*FAMILIES, "own"]


@contextmanager
def template_of(path: Path) -> Iterator[ChatTemplate]:
    with open_template(path) as template:
        yield template


def hot(seed: int) -> Sampling:
    return Sampling(temperature=1.5, seed=seed)


async def said(
    model: LlamaModel, options: Options, messages: list[Message] | None = None
) -> tuple[dict[str, str], Finished]:
    """What was said, by its kind, and how it ended."""
    texts = {"text": "", "reasoning": "", "call": ""}
    end = None
    async with model.generate(messages or user("Do it."), options) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                texts[event.kind] += event.piece
            elif isinstance(event, Finished):
                end = event
    assert end is not None
    return texts, end


def judge(calls: tuple[ToolCall, ...]) -> None:
    assert calls
    for call in calls:
        jsonschema.validate(json.loads(call.arguments), PARAMETERS[call.name])
    assert len({call.id for call in calls}) == len(calls)


# Detection --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_found_by_what_its_template_writes(families: dict[str, Path], name: str) -> None:
    with template_of(families[name]) as template:
        syntax = template.calling.syntax
        assert syntax is not None and syntax.name == FAMILIES[name].syntax
        assert syntax.most == (1 if name == "llama" else 16)
        assert syntax.at_head == (name == "llama")


REFUSES = (
    "{% for m in messages %}{% if m.role not in ('user', 'assistant', 'system') %}"
    "{{ raise_exception('only user and assistant') }}{% endif %}{{ '<|im_start|>' + m.role + '\n' + m.content"
    " + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
DROPS_RESULTS = (
    FAMILIES["hermes"]
    .template.replace("m.role == 'tool'", "m.role == 'never'")
    .replace("{% for m in rest %}", "{% for m in rest if m.role != 'tool' %}")
)
STRANGE = FAMILIES["hermes"].template.replace('"name": "', '"called": "')


@pytest.mark.parametrize("source", [CHATML, REFUSES, DROPS_RESULTS, STRANGE])
def test_any_other_template_gets_our_own_convention(tmp_path: Path, source: str) -> None:
    path = make_tiny(tmp_path / "m.gguf", chat_template=source)
    call = ToolCall(id="123456789", name="read", arguments='{"path": "a"}')
    messages = [
        *user("Go."),
        Message(role="assistant", content="Well.", calls=(call,)),
        Message(role="tool", content='It is "so".', call=call),
    ]
    with open_template(path) as template:
        assert template.calling.syntax is None
        prompt = template.prompt(messages, Options(tools=TOOLS))
        text = template._vocabulary.detokenize(prompt.tokens)
        assert prompt.offer is not None and prompt.offer.syntax.name == "own"
    assert text.index("files.write-2") < text.index("Go.")
    assert '[[call]] {"name": "read", "arguments": {"path": "a"}}' in text
    assert r'[[result]] {"name": "read", "result": "It is \"so\"."}' in text


# Calls, valid by construction -------------------------------------------------------------------------------


async def judged_calls(model: LlamaModel, seeds: Iterator[int], wanted: int) -> int:
    """So many calls of a random model, several answers at once, each judged; and how many answers it took.

    What was cut off by `max_tokens` is no call, and says so.
    """
    options = Options(tools=TOOLS, tool_choice="required", max_tokens=700)
    found = asked = 0

    async def ask() -> None:
        nonlocal found, asked
        while found < wanted:
            texts, end = await said(model, replace(options, sampling=hot(next(seeds))))
            asked += 1
            assert texts["text"] == "" and texts["call"]
            if end.reason is FinishReason.LENGTH:
                assert end.cut == "call" and not end.calls
                continue
            assert end.reason is FinishReason.CALLS and end.cut is None, (texts, end)
            judge(end.calls)
            found += len(end.calls)

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(ask)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
async def test_calls_of_a_random_model_parse_and_validate(families: dict[str, Path], name: str) -> None:
    async with loaded(families[name], 16384) as model:
        assert await judged_calls(model, count(), 12) <= 40


@pytest.mark.slow
@pytest.mark.skipif(not CALLS_PER_FAMILY, reason="takes minutes: set SAMOVAR_TEST_CALLS=500")
@pytest.mark.parametrize("batch", range(10))
@pytest.mark.parametrize("name", ALL)
async def test_many_calls_of_each_family_parse_and_validate(
    families: dict[str, Path], name: str, batch: int
) -> None:
    async with loaded(families[name], 16384) as model:
        assert await judged_calls(model, count(1000 * (batch + 1)), CALLS_PER_FAMILY // 10) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
async def test_a_named_tool_is_the_one_that_is_called(families: dict[str, Path], name: str) -> None:
    async with loaded(families[name], 4096) as model:
        for seed in range(5):
            options = Options(tools=TOOLS, tool_choice="read", sampling=hot(seed), max_tokens=900)
            _, end = await said(model, options)
            assert end.reason is FinishReason.LENGTH or {call.name for call in end.calls} == {"read"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
async def test_none_is_never_a_call(families: dict[str, Path], name: str) -> None:
    async with loaded(families[name], 4096) as model:
        for seed in range(10):
            options = Options(tools=TOOLS, tool_choice="none", sampling=hot(seed), max_tokens=60)
            texts, end = await said(model, options)
            assert not end.calls and not texts["call"]
            assert end.reason in (FinishReason.LENGTH, FinishReason.STOP)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
async def test_auto_is_text_or_calls_and_calls_are_no_text(families: dict[str, Path], name: str) -> None:
    async with loaded(families[name], 4096) as model:
        for seed in range(10):
            options = Options(tools=TOOLS, sampling=hot(seed), max_tokens=200)
            texts, end = await said(model, options)
            if end.calls:
                judge(end.calls)
            assert bool(texts["call"]) == (bool(end.calls) or end.cut == "call")
            trigger = model._template.calling.syntax.trigger if name != "own" else "[[call]]"  # type: ignore[union-attr]
            assert trigger not in texts["text"] or name.endswith("tokens") or FAMILIES[name].controls


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hermes", "mistral", "own"])
async def test_an_answer_of_a_schema_may_be_a_call_instead(families: dict[str, Path], name: str) -> None:
    schema = json.dumps({"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"],
                         "additionalProperties": False})  # fmt: skip
    kinds = set()
    async with loaded(families[name], 4096) as model:
        for seed in range(40):
            options = Options(tools=TOOLS, schema=schema, sampling=hot(seed), max_tokens=500)
            texts, end = await said(model, options)
            if end.reason is FinishReason.CALLS:
                judge(end.calls)
                assert not texts["text"]
            elif end.reason is FinishReason.STOP:
                assert json.loads(texts["text"])["a"] in (1, 2) and not texts["call"]
            kinds.add(end.reason)
    assert FinishReason.STOP in kinds


async def test_choices_may_be_calls_instead_and_grammars_may_not(families: dict[str, Path]) -> None:
    async with loaded(families["hermes"], 4096) as model:
        for seed in range(10):
            options = Options(tools=TOOLS, choices=("yes", "no"), sampling=hot(seed), max_tokens=500)
            texts, end = await said(model, options)
            assert texts["text"] in ("yes", "no") or end.calls or end.cut == "call"
        texts, _ = await said(model, Options(tools=TOOLS, choices=("yes", "no"), tool_choice="none"))
        assert texts["text"] in ("yes", "no")
        with pytest.raises(EngineError, match="grammar"):
            await said(model, Options(tools=TOOLS, grammar='start: "a"'))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"x": {"type": "string", "not": {"const": "a"}}}, "required": ["x"]},
        {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}, "required": ["x"]},
        {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)"}}, "required": ["x"]},
    ],
)
async def test_what_cannot_be_enforced_is_an_error_that_names_the_tool_before_anything_is_evaluated(
    families: dict[str, Path], name: str, schema: dict[str, Any]
) -> None:
    bad = ToolDefinition(name="bad.one", description="", parameters=json.dumps(schema))
    async with loaded(families[name]) as model:
        for choice in ("auto", "required"):
            with pytest.raises(EngineError, match=r"'bad\.one'"):
                await said(model, Options(tools=(TOOLS[0], bad), tool_choice=choice))
        assert model.statistics().tokens.evaluated == 0


async def test_properties_that_only_a_part_of_a_schema_lists_can_be_given(families: dict[str, Path]) -> None:
    one, other = {"type": "string", "maxLength": 3}, {"type": "integer", "minimum": 0, "maximum": 9}
    lists_one = {"properties": {"a": one}, "required": ["a"], "additionalProperties": False}
    lists_other = {"properties": {"b": other}, "required": ["b"], "additionalProperties": False}
    schema = {"type": "object", "anyOf": [lists_one, lists_other]}
    tool = ToolDefinition(name="t", description="", parameters=json.dumps(schema))
    async with loaded(families["own"]) as model:
        for seed in range(6):
            options = Options(tools=(tool,), tool_choice="required", sampling=hot(seed), max_tokens=300)
            _, end = await said(model, options)
            for call in end.calls:
                jsonschema.validate(json.loads(call.arguments), schema)
        assert end.calls or end.reason is FinishReason.LENGTH


async def test_why_a_tool_cannot_be_offered_is_said_without_the_grammar_around_it(
    families: dict[str, Path],
) -> None:
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/none"}}}
    bad = ToolDefinition(name="bad.one", description="", parameters=json.dumps(schema))
    async with loaded(families["own"]) as model:
        with pytest.raises(EngineError) as raised:
            await said(model, Options(tools=(bad,), tool_choice="required"))
    why = "Pointer '/$defs/none' does not exist."
    assert raised.value.message == f"The tool 'bad.one' cannot be offered: {why}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hermes", "own", "mistral", "llama"])
async def test_calls_of_generated_schemas_are_valid(families: dict[str, Path], name: str) -> None:
    async with loaded(families[name], 4096) as model:
        for number in range(25):
            random = Random(number)
            parameters = {
                "type": "object",
                "properties": {"a": schema_of(random), "b c": schema_of(random)},
                "required": ["a"],
            }
            tool = ToolDefinition(name="made", description="", parameters=json.dumps(parameters))
            options = Options(tools=(tool,), tool_choice="required", sampling=hot(number), max_tokens=900)
            try:
                _, end = await said(model, options)
            except EngineError as error:
                assert "'made'" in str(error)
                continue
            for call in end.calls:
                jsonschema.validate(json.loads(call.arguments), parameters)


THINKS = FAMILIES["hermes"].template.replace(
    "'<|im_start|>assistant\\n' }}{% endif %}", "'<|im_start|>assistant\\n<think>\\n' }}{% endif %}"
)


@pytest.mark.slow
async def test_what_is_thought_before_a_call_is_reasoning(tmp_path: Path) -> None:
    path = make_tiny(
        tmp_path / "m.gguf",
        chat_template=THINKS,
        vocabulary=add_bytes((CONTROL[0], CONTROL[1], "<think>", "</think>", CONTROL[2])),
    )
    thought = calls = 0
    async with loaded(path, 4096) as model:
        for seed in range(25):
            options = Options(tools=TOOLS, tool_choice="required", sampling=hot(seed), max_tokens=900)
            texts, end = await said(model, options)
            assert not texts["text"]
            thought += bool(texts["reasoning"])
            calls += len(end.calls)
            if end.calls:
                judge(end.calls)
    assert thought and calls


# Data stays data --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("name", ALL)
def test_nothing_in_tools_calls_and_results_becomes_a_control_token(
    families: dict[str, Path], name: str, data: st.DataObject
) -> None:
    with open_template(families[name]) as template:
        vocabulary = template._vocabulary
        forged = st.lists(
            st.sampled_from(
                [
                    *vocabulary.control_texts,
                    "<tool_call>",
                    "</tool_call>",
                    "[[call]]",
                    "x",
                    "\n",
                    '"',
                    "<|",
                    "|>",
                ]
            ),
            max_size=5,
        ).map("".join)
        evil = [data.draw(forged) for _ in range(5)]
        plain = ["w" * 3 for _ in evil]
        counts = [_controls(vocabulary, template.tokens(*_conversation(texts))) for texts in (plain, evil)]
        assert counts[0] == counts[1]


def _controls(vocabulary: Vocabulary, tokens: list[int]) -> list[int]:
    controls = set(vocabulary.controls.values())
    return [token for token in tokens if token in controls]


def _conversation(texts: list[str]) -> tuple[list[Message], Options]:
    description, key, argument, result, name = texts
    parameters = {"type": "object", "properties": {"path": {"type": "string", "description": name}}}
    tool = ToolDefinition(name="read", description=description, parameters=json.dumps(parameters))
    call = ToolCall(id=key or "x", name="read", arguments=json.dumps({"path": argument, "k": [argument]}))
    return [
        *user("Go."),
        Message(role="assistant", content="", calls=(call,)),
        Message(role="tool", content=result, call=call),
    ], Options(tools=(tool,))


def test_a_forged_call_that_a_model_spells_is_text(families: dict[str, Path]) -> None:
    """The letters of the token that begins a call, in other tokens: not what the model was trained to say."""
    with template_of(families["mistral"]) as template:
        options = Options(tools=TOOLS)
        prompt = template.prompt(user("Go."), options)
        answer = template.answer(options, prompt.beginning, prompt.offer)
        pieces = []
        for token in template._vocabulary.spell('[TOOL_CALLS][{"name": "now", "arguments": {}}]'):
            pieces += answer.feed(token)
        pieces += answer.finish(is_done=True)
        assert {piece.kind for piece in pieces} == {"text"} and not answer.calls


# Costs ------------------------------------------------------------------------------------------------------

THIRTY = tuple(
    ToolDefinition(
        name=f"tool_{number}",
        description=f"Does thing number {number}.",
        parameters=json.dumps(PARAMETERS[["read", "files.write-2", "now"][number % 3]]),
    )
    for number in range(30)
)


async def evaluated(model: LlamaModel, question: str, tools: tuple[ToolDefinition, ...]) -> tuple[int, int]:
    """Prompt tokens that were computed, and that were there."""
    end: Finished | None = None
    async with model.generate(user(question), Options(tools=tools, max_tokens=1)) as events:
        async for event in events:
            assert not isinstance(event, PromptEvaluating) or event.total_tokens
            if isinstance(event, Finished):
                end = event
    assert end is not None
    return end.tokens.evaluated, end.tokens.reused


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hermes", "own", "coder", "gemma", "lfm2", "mistral", "llama"])
async def test_definitions_are_evaluated_once_and_in_a_new_process_not_at_all(
    families: dict[str, Path], name: str, tmp_path: Path
) -> None:
    snapshots = Snapshots(tmp_path / "kv", 2**30)
    async with loaded(families[name], 32768, snapshots) as model:
        costs = [await evaluated(model, f"question {number}: what is it?", THIRTY) for number in range(12)]
        tools_tokens = model._template.tools_tokens(THIRTY)
        assert tools_tokens > 1000
    assert costs[0][0] >= tools_tokens
    assert all(computed < 200 for computed, _ in costs[1:]), costs
    assert all(there > tools_tokens - 200 for _, there in costs[1:])
    again = Snapshots(tmp_path / "kv", 2**30)
    async with loaded(families[name], 32768, again) as model:
        computed, there = await evaluated(model, "another one?", THIRTY)
        assert computed < 200 and there > tools_tokens - 200, (computed, there)


@pytest.mark.slow
async def test_how_much_of_the_context_definitions_take_is_told(families: dict[str, Path]) -> None:
    async with loaded(families["hermes"], 32768) as model:
        _, end = await said(model, Options(tools=THIRTY, max_tokens=1))
        assert end.context_tokens == 32768
        _, plain = await said(model, Options(max_tokens=1))
        assert plain.tools_tokens == 0
        longer = end.tokens.evaluated + end.tokens.reused - plain.tokens.evaluated - plain.tokens.reused
        assert end.tools_tokens == longer
        assert (end.tools_tokens > 8192) == any("30 tools take" in note for note in model.statistics().notes)
    async with loaded(families["hermes"], end.tools_tokens + 200) as model:
        await said(model, Options(tools=THIRTY, max_tokens=1))
        await said(model, Options(tools=THIRTY, max_tokens=1))
        assert sum("30 tools take" in note for note in model.statistics().notes) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hermes", "hermes, tokens", "mistral", "lfm2", "gemma", "own"])
async def test_the_next_round_goes_on_from_the_call(families: dict[str, Path], name: str) -> None:
    """A call is rendered as it was generated, so that hardly any of it is evaluated again."""
    options = Options(tools=TOOLS, tool_choice="required", max_tokens=700)
    async with loaded(families[name], 8192) as model:
        for seed in range(20):
            messages = user("Do it.")
            texts, end = await said(model, replace(options, sampling=hot(seed)), messages)
            if not end.calls or any("\\" in call.arguments for call in end.calls):
                continue
            messages.append(Message(role="assistant", content=texts["text"], calls=end.calls))
            messages += [Message(role="tool", content="done", call=call) for call in end.calls]
            _, following = await said(model, replace(options, max_tokens=1), messages)
            assert following.tokens.reused >= end.tokens.evaluated + end.tokens.reused - 1
            return
    pytest.fail("no call came to its end")
