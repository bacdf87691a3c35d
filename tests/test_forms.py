"""Answers of a form: a schema, a regular expression, a grammar; on models that would say anything else."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

import samovar
from samovar.engines.base import Finished, ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.grammars import MOST_FORCED, Grammars, objection
from samovar.engines.llama.guidance import Guidance
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.spelling import TokenSpelling
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import CutOffError, EngineError, UsageError
from samovar.generation import FinishReason, Form, Message, Options, PromptEvaluating, Sampling, TextGenerated
from samovar.language.schemas import read_schema, schema_text
from tests.on_tiny import loaded
from tests.tiny import add_bytes, add_sentence_pieces, make_tiny

pytestmark = pytest.mark.anyio

VERDICT = "{urgent: boolean, team: billing|support, reason: text?}"
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)


def schema_of(short: str) -> str:
    return schema_text(read_schema(short))


async def answer(model: LlamaModel, options: Options, text: str = "x") -> tuple[str, Finished]:
    said, end = "", None
    async with model.generate([Message(role="user", content=text)], options) as events:
        async for event in events:
            if isinstance(event, TextGenerated) and event.kind == "text":
                said += event.piece
            elif isinstance(event, Finished):
                end = event
    assert end is not None
    return said, end


def hot(seed: int) -> Sampling:
    return Sampling(temperature=1.5, seed=seed)


async def test_a_random_model_gives_json_of_the_schema_without_blanks(tiny_model: Path) -> None:
    schema = schema_of("{urgent: boolean, team: billing|support, counts: [integer]}")
    async with loaded(tiny_model) as model:
        for seed in range(20):
            said, end = await answer(model, Options(schema=schema, sampling=hot(seed), max_tokens=400))
            if end.cut:
                continue
            value = json.loads(said)
            assert list(value) == ["urgent", "team", "counts"]
            assert value["urgent"] in (True, False) and value["team"] in ("billing", "support")
            assert all(isinstance(one, int) for one in value["counts"])
            assert not re.search(r"\s", said)
            assert end.reason is FinishReason.STOP


@pytest.mark.parametrize(
    "regex", ["[a-c]{3,5}x", "[0-9]{4}-[0-9]{2}-[0-9]{2}", "(yes|no)!?", "é{2}|漢", "a*b", "", "[^a]{4}"]
)
async def test_an_answer_matches_the_whole_regular_expression(tiny_model: Path, regex: str) -> None:
    async with loaded(tiny_model) as model:
        for seed in range(8):
            said, end = await answer(model, Options(regex=regex, sampling=hot(seed), max_tokens=60))
            assert end.cut or re.fullmatch(regex, said, re.DOTALL), said
            assert end.cut == "text" or end.reason is FinishReason.STOP


async def test_an_answer_is_a_text_of_the_grammar(tiny_model: Path) -> None:
    grammar = 'start: "a" middle "c"\nmiddle: "<" /[0-9]{1,3}/ ">" | "b"'
    async with loaded(tiny_model) as model:
        for seed in range(8):
            said, _ = await answer(model, Options(grammar=grammar, sampling=hot(seed)))
            assert re.fullmatch("a(<[0-9]{1,3}>|b)c", said)


async def test_forced_tokens_take_no_step_of_their_own(tiny_model: Path) -> None:
    schema = json.dumps({"const": "h" * 400 + "é"})
    async with loaded(tiny_model, 2048) as model:
        steps: list[int] = []
        decode = model._arena._context.decode

        def counted(batch: Any) -> int:
            steps.append(batch.n_tokens)
            return decode(batch)

        model._arena._context.decode = counted  # type: ignore[method-assign]
        said, end = await answer(model, Options(schema=schema))
        assert json.loads(said) == "h" * 400 + "é"
        assert end.reason is FinishReason.STOP and end.tokens.generated >= 400
        assert len(steps) < 40 and max(steps[1:]) <= 2 * MOST_FORCED


async def test_a_forced_answer_stops_at_max_tokens_and_not_behind(tiny_model: Path) -> None:
    async with loaded(tiny_model) as model:
        said, end = await answer(model, Options(regex="abcdefgh", max_tokens=3))
        assert (said, end.reason, end.cut, end.tokens.generated) == ("abc", FinishReason.LENGTH, "text", 3)


async def test_answers_of_several_forms_decode_beside_each_other(tiny_model: Path) -> None:
    said: dict[int, str] = {}
    forms = [
        Options(regex="a{30}"),
        Options(choices=("yes", "no")),
        Options(schema=schema_of("{n: integer}")),
    ]
    forms.append(Options(max_tokens=30))

    async def one(model: LlamaModel, number: int) -> None:
        said[number], _ = await answer(model, forms[number % len(forms)], f"question {number}")

    async with loaded(tiny_model, 4096) as model:
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(one, model, number)
        assert all(said[number] == "a" * 30 for number in range(0, 12, 4))
        assert all(said[number] in ("yes", "no") for number in range(1, 12, 4))


@pytest.mark.parametrize("architecture", ["mamba", "jamba", "gemma2"])
async def test_it_holds_whatever_the_memory_of_the_model_is(tmp_path: Path, architecture: str) -> None:
    async with loaded(make_tiny(tmp_path / "m.gguf", architecture)) as model:
        said, _ = await answer(model, Options(schema=schema_of("{a: yes|no, b: boolean}")))
        assert json.loads(said)["a"] in ("yes", "no")


async def test_blanks_of_sentence_pieces_are_no_part_of_it(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "m.gguf", vocabulary=add_sentence_pieces())
    async with loaded(path) as model:
        said, _ = await answer(model, Options(schema=schema_of("{the: hi|the hi}")))
        assert said in ('{"the":"hi"}', '{"the":"the hi"}')


async def test_control_tokens_in_a_form_stay_text(tiny_model: Path) -> None:
    schema = json.dumps({"const": "<|im_end|>é<|im_start|>"})
    async with loaded(tiny_model) as model:
        said, end = await answer(model, Options(schema=schema))
        assert json.loads(said) == "<|im_end|>é<|im_start|>" and end.reason is FinishReason.STOP


async def test_the_form_begins_where_the_thinking_ends(tmp_path: Path) -> None:
    control = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "</think>", "<think>")[:3]
    path = make_tiny(
        tmp_path / "m.gguf",
        chat_template=THINKING,
        vocabulary=add_bytes((*control[:2], "<think>", "</think>", control[2])),
    )
    whole = 0
    async with loaded(path) as model:
        for seed in range(30):
            options = Options(schema=schema_of("{ok: boolean}"), sampling=hot(seed), max_tokens=600)
            said, end = await answer(model, options)
            assert end.tokens.reasoning > 0 or end.cut == "reasoning"
            if end.cut is None:
                assert json.loads(said)["ok"] in (True, False)
                whole += 1
            else:
                assert end.cut == "reasoning" or said
    assert whole >= 5


async def test_a_conversation_goes_on_after_an_answer_of_a_form(tiny_model: Path) -> None:
    async with samovar.open(context_tokens=1024) as app, app.session(str(tiny_model)) as session:
        first = await session.ask("one", schema=VERDICT.replace(", reason: text?", ""))
        assert first.json["team"] in ("billing", "support")
        assert (await session.ask("two", regex="[ab]c")).text in ("ac", "bc")
        assert (await session.ask("three", grammar='start: "x" "y"')).text == "xy"
        assert (await session.ask("four", schema={"type": "boolean"})).json in (True, False)
        with pytest.raises(CutOffError, match="before it matched the schema") as cut:
            await session.ask("five", schema="{name: text}", max_tokens=4)
        assert cut.value.text.startswith('{"')
        with pytest.raises(EngineError, match="`not` cannot be checked while an answer grows"):
            await session.ask("six", schema={"type": "string", "not": {}})
        with pytest.raises(UsageError, match="cannot be combined: an answer has one form"):
            await session.ask("seven", regex="a", schema="{a: text}")
        assert (await session.ask("eight", choices=["a"])).text == "a"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"not": {}}, "`not` cannot be checked"),
        ({"type": "array", "uniqueItems": True}, "`uniqueItems` cannot be checked"),
        ({"if": {}, "then": {}}, "`if`, `then` cannot be checked"),
        ({"$ref": "https://example.org/x"}, "leads outside"),
        ({"oneOf": [{"type": "string"}, {"minLength": 2}]}, "overlap"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "Unsatisfiable schema: minimum"),
        ({"type": "string", "format": "iri"}, "Unknown format: iri"),
        ({"type": "objekt"}, "Invalid type: objekt"),
    ],
)
def test_what_cannot_be_enforced_is_refused_without_any_model(schema: dict[str, object], why: str) -> None:
    assert why in (objection(Form(kind="schema", text=json.dumps(schema))) or "")


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("regex", "a(?=b)", "look-around"),
        ("regex", "(a", "unclosed group"),
        ("regex", r"\bword\b", "look-around"),
        ("regex", "a\0", "NUL"),
        ("grammar", "start: x", "unknown name"),
        ("grammar", "foo: /a/", "no start rule"),
        ("grammar", "start: <|im_end|>", "names a token of a vocabulary"),
        ("schema", "{", "not JSON"),
        ("schema", "[]", "must be a JSON object"),
    ],
)
def test_forms_that_cannot_be_read_are_refused_with_the_reason(kind: str, text: str, why: str) -> None:
    assert why in (objection(Form(kind=kind, text=text)) or "")  # type: ignore[arg-type]


def test_forms_that_can_be_enforced_have_no_objection() -> None:
    assert objection(Form(kind="schema", text=schema_of(VERDICT))) is None
    assert objection(Form(kind="regex", text="[a-z]+")) is None
    assert objection(Form(kind="grammar", text='start: "a"+')) is None


def test_the_short_form_says_what_the_long_one_does() -> None:
    assert read_schema(VERDICT) == {
        "type": "object",
        "properties": {
            "urgent": {"type": "boolean"},
            "team": {"enum": ["billing", "support"]},
            "reason": {"type": "string"},
        },
        "required": ["urgent", "team"],
        "additionalProperties": False,
    }
    nested = read_schema(
        "{at: {line: integer}, tags: [a|b], more?: {n: number}, free: {type: string, maxLength: 3}}"
    )
    assert nested["properties"]["at"]["properties"] == {"line": {"type": "integer"}}
    assert nested["properties"]["tags"] == {"type": "array", "items": {"enum": ["a", "b"]}}
    assert nested["properties"]["free"] == {"type": "string", "maxLength": 3}
    assert nested["required"] == ["at", "tags", "free"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": ["string", "null"]},
        {"enum": ["a", "b"]},
        {"const": 3},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}},
        {"properties": {"type": {"type": "string"}}},
        {"anyOf": [{"type": "string"}]},
        {},
    ],
)
def test_a_json_schema_stays_as_it_is(schema: dict[str, object]) -> None:
    assert read_schema(schema) == schema
    assert read_schema(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{urgent: bolean}", "'boolean'"),
        ("{a: x||y}", "none of them empty"),
        ("{a: [text, text]}", "one form for all items"),
        ("{a: 3}", "one of text, boolean"),
        ({"type": "object", "requird": ["a"]}, "'required'"),
        ({"type": "string", "x-guidance": {"lenient": True}}, "'x-guidance' is not one"),
        ({"type": "array", "items": {"type": "string", "minlength": 3}}, "'minLength'"),
        ("urgent", "a JSON Schema, or its short form"),
        ("{a: ", "a JSON Schema, or its short form"),
        (3, "a JSON Schema, or its short form"),
    ],
)
def test_a_schema_that_cannot_be_read_is_refused_with_the_nearest(schema: object, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        read_schema(schema)


def test_a_field_of_the_short_form_may_be_called_type() -> None:
    assert read_schema("{type: bug|feature, points: integer}")["required"] == ["type", "points"]
    assert read_schema("{type: boolean, size: integer}")["required"] == ["type", "size"]


async def test_forced_text_is_spelled_byte_by_byte_where_no_token_says_it(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "m.gguf", vocabulary=add_sentence_pieces())
    async with loaded(path) as model:
        vocabulary: Vocabulary = model._arenas.vocabulary
        pieces = [vocabulary.piece(token) for token in range(vocabulary.size)]
        spell = TokenSpelling(vocabulary, vocabulary.ends, max(map(len, pieces)))
        for raw in (b"hi the", b" hi", "é漢".encode(), b"\xe6\xbc", b"<s>", b"\xff\x00"):
            assert b"".join(pieces[token] for token in spell(raw)) == raw


class Gate:
    """Holds up what is made for forms until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        made = Guidance._made

        def waits(guidance: Guidance) -> Grammars:
            assert self.opened.wait(30)
            return made(guidance)

        monkeypatch.setattr(Guidance, "_made", waits)


async def test_a_prompt_is_evaluated_while_its_form_is_prepared(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, text = Gate(monkeypatch), "x" * 300
    options = Options(schema=schema_of("{team: billing|support}"), max_tokens=100)
    async with loaded(tiny_model) as model:
        message = [Message(role="user", content=text)]
        async with model.generate(message, options) as events:
            async for event in events:
                if isinstance(event, PromptEvaluating):
                    if event.evaluated_tokens == event.total_tokens - 1:
                        gate.opened.set()  # all but the token behind which the answer begins
                    assert gate.opened.is_set() or event.evaluated_tokens < event.total_tokens - 1
        assert gate.opened.is_set()
        said, end = await answer(model, options, text)
        assert json.loads(said)["team"] in ("billing", "support") and end.cut is None


async def test_other_answers_go_on_meanwhile_and_it_can_be_given_up(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    options = Options(schema=schema_of("{team: billing|support}"), max_tokens=100)
    async with loaded(tiny_model) as model:
        message = [Message(role="user", content="x")]
        async with model.generate(message, options):
            said, end = await answer(model, Options(max_tokens=8), "y")
            assert end.tokens.generated == 8 and not gate.opened.is_set()
        model.check()
        gate.opened.set()
        said, _ = await answer(model, options)
    assert json.loads(said)


async def test_a_form_that_cannot_be_enforced_is_refused_before_anything_is_evaluated(
    tiny_model: Path,
) -> None:
    async with loaded(tiny_model) as model:
        with pytest.raises(EngineError, match="cannot be enforced"):
            await answer(model, Options(regex="(?=a)b"))
        assert model.statistics().tokens.evaluated == 0


async def test_what_holds_answers_to_forms_is_in_the_predicted_memory(tiny_model: Path) -> None:
    engine = LlamaEngine()
    cost = engine.predict(ModelSpec(reference="tiny", path=tiny_model, context_tokens=1024))
    assert cost.forms_bytes > 0
    without = replace(cost, forms_bytes=0)
    assert without.total_bytes == cost.total_bytes - cost.forms_bytes
    engine.close()
