"""Each message arrives in what a template renders, or it is an error that says which one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from samovar.engines.llama.chat import ONLY_A_NAME, ChatTemplate
from samovar.engines.llama.turns import FOLDED
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.engines.markers import Beginning
from samovar.errors import EngineError
from samovar.generation import Message, Options, Role
from tests.on_tiny import loaded
from tests.test_controls import opened
from tests.test_llama import answer
from tests.tiny import add_sentence_pieces, make_tiny

Render = Callable[[str, Sequence[tuple[Role, str]]], tuple[str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def render(tiny_model: Path) -> Iterator[Render]:
    """What a template makes of messages, and its notes."""
    with opened(tiny_model) as (_, vocabulary):
        yield lambda source, turns: rendered(vocabulary, source, turns)


def rendered(
    vocabulary: Vocabulary, source: str, turns: Sequence[tuple[Role, str]]
) -> tuple[str, tuple[str, ...]]:
    template = ChatTemplate(source, vocabulary)
    tokens: list[int] = []
    for _ in range(2):  # a note comes once
        tokens = template.tokens([Message(role=role, content=content) for role, content in turns])
    return b"".join(map(vocabulary.piece, tokens)).decode(), template.notes


ALL = "{% for m in messages %}<|im_start|>{{ m.role }}:{{ m.content }};{% endfor %}"
REFUSES = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + ALL
)
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}" + ALL
)
DROPS = "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}:{{ m.content }};{% endfor %}"
PARTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}:{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% endif %}{% endfor %};{% endfor %}"
)
PARTS_BUT_NO_SYSTEM = "{% set messages = messages | rejectattr('role', 'equalto', 'system') | list %}" + PARTS
ONLY_LAST = "<|im_start|>{{ messages[-1].content }}"
SYSTEM: tuple[Role, str] = ("system", "Be kind.")
TALK: list[tuple[Role, str]] = [("user", "Hi."), ("assistant", "Hello."), ("user", "a")]


@pytest.mark.parametrize("source", [REFUSES, ALTERNATES, DROPS, PARTS_BUT_NO_SYSTEM])
def test_a_system_message_that_is_not_taken_goes_to_the_head_of_the_user_s_first(
    render: Render, source: str
) -> None:
    text, notes = render(source, [SYSTEM, *TALK])
    assert text == "user:Be kind.\n\nHi.;assistant:Hello.;user:a;"
    assert notes.count(FOLDED) == 1
    text, notes = render(source, TALK)
    assert text == "user:Hi.;assistant:Hello.;user:a;" and FOLDED not in notes
    assert render(source, [SYSTEM])[0] == "user:Be kind.;"


@pytest.mark.parametrize("source", [ALL, PARTS])
def test_a_system_message_that_is_taken_stays(render: Render, source: str) -> None:
    text, notes = render(source, [SYSTEM, *TALK])
    assert text == "system:Be kind.;user:Hi.;assistant:Hello.;user:a;" and FOLDED not in notes


@pytest.mark.parametrize("content", ["a", "user", "What is the weather like in the capital of Iceland?"])
def test_a_message_that_is_left_out_is_named(render: Render, content: str) -> None:
    with pytest.raises(EngineError, match=r"leaves out message 1 of 2 \(user\): “" + content[:20]):
        render(ONLY_LAST, [("user", content), ("user", content + " And now?")])
    with pytest.raises(EngineError, match=r"leaves out message 1 of 1 \(user\)"):
        render("<|im_start|>user: a name, and nothing of {{ 'weather' }}", [("user", content)])


def test_a_lost_message_is_shown_as_it_was_written(render: Render) -> None:
    with pytest.raises(EngineError, match=r"“x<\|im_end\|> y”"):
        render(ONLY_LAST, [("user", "x<|im_end|>\n y"), ("user", "z")])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ messages[0].content | trim }}", "a /think b"),
        ("{{ messages[0].content | replace('/think', '') }}", " a  b "),
        ("{{ messages[0].content | upper }}", " A /THINK B "),
        ("{{ messages[0].content | tojson(ensure_ascii=true) }}", '" a /think b "'),
        ("{{ messages[0].content[:3] }}", " a "),
    ],
)
def test_a_template_may_cut_and_rewrite_what_it_shows(render: Render, source: str, text: str) -> None:
    assert render(source, [("user", " a /think b ")])[0] == text


def test_nothing_is_missed_of_a_message_without_text(render: Render) -> None:
    assert render(ONLY_LAST, [("user", " \n"), ("user", "x")])[0] == "x"


def test_a_list_of_parts_is_never_written_as_it_is(render: Render) -> None:
    with pytest.raises(EngineError, match="leaves out message 1"):
        render("{% if messages[0].content is not string %}{{ messages[0].content }}{% endif %}", TALK[:1])


def test_a_refusal_that_has_other_reasons_is_handed_on(render: Render) -> None:
    with pytest.raises(EngineError, match="refused the messages: never"):
        render("{{ raise_exception('never') }}", [SYSTEM, *TALK])


@pytest.mark.anyio
async def test_a_name_alone_is_not_a_template(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "named.gguf", chat_template="rwkv-world")
    async with loaded(path) as model:
        assert ONLY_A_NAME.format(name="rwkv-world") in model.statistics().notes
    with opened(path) as (template, vocabulary):
        assert "hello" in vocabulary.detokenize(template.tokens([Message(role="user", content="hello")]))


@pytest.mark.anyio
async def test_a_folded_system_message_is_noted_in_the_statistics(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "refuses.gguf", chat_template=REFUSES)
    async with loaded(path) as model:
        messages = [Message(role="system", content="Be kind."), Message(role="user", content="Hi.")]
        assert FOLDED not in model.statistics().notes
        for _ in range(2):
            async with model.generate(messages, Options(max_tokens=2)) as events:
                assert [event async for event in events]
        assert model.statistics().notes.count(FOLDED) == 1


@pytest.mark.anyio
async def test_without_a_template_the_text_of_chatml_s_end_ends_an_answer(tmp_path: Path) -> None:
    path = make_tiny(tmp_path / "pieces.gguf", chat_template=None, vocabulary=add_sentence_pieces())
    async with loaded(path) as model:
        for end in ("END", "<|im_end|>"):
            asked = model._template.answer(Options(stop=("END",)), Beginning())
            tokens = model._arenas.vocabulary.tokenize(f"yes{end}no", special=False)
            said = "".join(piece.piece for token in tokens for piece in asked.feed(token))
            assert (said, asked.is_over) == ("yes", True)
        await answer(model, "hello")
