"""Reasoning models on the real engine: what was only thought is apart, from the token to the turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import Finished, ModelSpec
from samovar.engines.llama.choosing import EMPTY_LINES
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.model import LlamaModel
from samovar.errors import ContextError, EngineError
from samovar.generation import FinishReason, Message, Options, TextGenerated, joined
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from samovar.serving.turn import Turn, parts_of
from tests.on_tiny import loaded, user
from tests.talker import make_talker
from tests.tiny import CHATML, CONTROL, add_sentence_pieces, make_tiny

pytestmark = pytest.mark.anyio

SAYS = ("<think>", "\nLet me ", "see.", "\n</th", "ink>", "\n\n", "Paris", ".", "\n ")
TEXT, REASONING = "Paris.", "Let me see."
QWEN = CHATML.replace(
    "'<|im_start|>assistant\n'",
    "'<|im_start|>assistant\n' ~ ('<think>\n\n</think>\n\n' if enable_thinking is false else '')",
)
"""Which turns reasoning off by closing a block in the prompt, as Qwen3 does."""
OPENED = CHATML.replace("assistant\n'", "assistant\n<think>\n' ~ '</think>'[:0]")
"""Which opens the block in the prompt, as DeepSeek R1 does."""
HARMONY_TOKENS = (
    "<|endoftext|>",
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|end|>",
    "<|call|>",
    "<|return|>",
)
HARMONY = (
    "{% for m in messages %}{{ '<|start|>' ~ m.role ~ '<|message|>' ~ m.content ~ '<|end|>' }}{% endfor %}"
    "{{ '<|start|>assistant' }}"
)


def spec_of(path: Path) -> ModelSpec:
    return ModelSpec(reference=path.name, path=path, context_tokens=1024)


@asynccontextmanager
async def sessions_on(path: Path) -> AsyncIterator[tuple[Sessions, ModelSpec]]:
    with anyio.fail_after(60):
        engine = LlamaEngine()
        async with Pool(engine, budget_bytes=1 << 30) as pool:
            sessions = Sessions(pool)
            yield sessions, spec_of(path)
            sessions.check()
        engine.close()


async def asked(path: Path, options: Options | None = None, said: Sequence[Message] = ()) -> Turn:
    async with sessions_on(path) as (sessions, spec), sessions.open(spec) as session:
        return await session.ask(list(said) or user("Capital of France?"), options)


async def pieces_of(model: LlamaModel, options: Options) -> tuple[list[TextGenerated], Finished]:
    pieces: list[TextGenerated] = []
    async with model.generate(user("x"), options) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                pieces.append(event)
            elif isinstance(event, Finished):
                end = event
    return pieces, end


# Blocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "template", "behind"),
    [
        (SAYS, CHATML, "\n"),  # which nothing in its file says
        (SAYS, QWEN, "\n"),
        (SAYS[1:], OPENED, "\n"),
    ],
)
async def test_what_stands_in_a_block_is_the_reasoning_and_no_part_of_the_text(
    tmp_path: Path, says: tuple[str, ...], template: str, behind: str
) -> None:
    turn = await asked(make_talker(tmp_path / "m.gguf", says, chat_template=template, behind=behind))
    assert (turn.reasoning, turn.text, turn.reason, turn.cut) == (REASONING, TEXT, FinishReason.STOP, None)
    assert [part.kind for part in turn.parts] == ["reasoning", "text"]
    assert (turn.tokens.generated, turn.tokens.reasoning) == (len(says), len(says) - 4)


async def test_markers_that_are_control_tokens_mark_too_and_are_shown_nowhere(tmp_path: Path) -> None:
    control = (*CONTROL[:2], "[THINK]", "[/THINK]", CONTROL[2])
    says = ("[THINK]", "Let me see.", "[/THINK]", "Pa", "[", "ris.")
    turn = await asked(make_talker(tmp_path / "m.gguf", says, control=control))
    assert (turn.reasoning, turn.text) == (REASONING, "Pa[ris.")


async def test_of_channels_the_final_one_is_the_text(tmp_path: Path) -> None:
    says = ("<|channel|>", "analysis", "<|message|>", "Let me see.", "<|end|>")
    path = make_talker(tmp_path / "m.gguf", says, control=HARMONY_TOKENS, chat_template=HARMONY, behind="t")
    turn = await asked(path)
    assert (turn.reasoning, turn.text, turn.tokens.reasoning) == (REASONING, "", 5)
    says = ("<|channel|>", "final", "<|message|>", "Paris.", "<|end|>")
    path = make_talker(tmp_path / "n.gguf", says, control=HARMONY_TOKENS, chat_template=HARMONY, behind="t")
    assert (await asked(path)).text == TEXT


async def test_an_answer_in_several_channels_is_told_apart_token_by_token(tmp_path: Path) -> None:
    said = (
        "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant"
        "<|channel|>commentary<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Paris."
    )
    path = make_talker(tmp_path / "m.gguf", ("x",), control=HARMONY_TOKENS, chat_template=HARMONY)
    async with loaded(path) as model:
        prompt = model._template.prompt(user("x"), Options())
        answer = model._template.answer(Options(), prompt.beginning)
        tokens = model._arenas.vocabulary.tokenize(said, special=True)
        pieces = [piece for token in tokens for piece in answer.feed(token)] + answer.finish()
        assert joined(parts_of(pieces)) == TEXT
        assert joined(parts_of(pieces), "reasoning") == REASONING + "\n\nHm."
        assert [token for piece in pieces for token in piece.tokens] == tokens
        # The same letters, spelled: a text about the format.
        spelled = model._arenas.vocabulary.tokenize_apart(["Paris <|end|>"])
        answer = model._template.answer(Options(), prompt.beginning)
        pieces = [piece for token in spelled for piece in answer.feed(token)] + answer.finish()
        assert joined(parts_of(pieces)) == "Paris <|end|>"


async def test_each_token_that_was_generated_is_of_one_piece(tmp_path: Path) -> None:
    async with loaded(make_talker(tmp_path / "m.gguf", SAYS)) as model:
        pieces, end = await pieces_of(model, Options())
        vocabulary = model._arenas.vocabulary
        for kind, said in (("reasoning", "".join(SAYS[:5])), ("text", "".join(SAYS[5:]))):
            tokens = [token for piece in pieces if piece.kind == kind for token in piece.tokens]
            assert vocabulary.detokenize(tokens) == said
        assert end.tokens.generated == len(SAYS)


async def test_a_tag_within_an_ordinary_answer_is_text(tmp_path: Path) -> None:
    says = ("The tag ", "<think>", " is one", "</think>", ".")
    turn = await asked(make_talker(tmp_path / "m.gguf", says))
    assert (turn.text, turn.reasoning) == ("".join(says), "")


# Limits --------------------------------------------------------------------------------------------------


async def test_the_limit_counts_both_and_the_end_says_which_was_cut(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", SAYS)
    ends = {2: ("Let me", "", "reasoning"), 5: (REASONING, "", "reasoning"), 7: (REASONING, "Paris", "text")}
    for most, (reasoning, text, cut) in ends.items():
        turn = await asked(path, Options(max_tokens=most))
        assert (turn.reason, turn.reasoning, turn.text, turn.cut) == (
            FinishReason.LENGTH, reasoning, text, cut,
        )  # fmt: skip
    assert (await asked(path, Options(max_tokens=10))).cut is None


async def test_stop_texts_are_of_the_text(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", SAYS)
    turn = await asked(path, Options(stop=("see", "\n\n", ".")))
    assert (turn.reasoning, turn.text) == (REASONING, "Paris")


# Turns ---------------------------------------------------------------------------------------------------


async def test_the_next_turn_does_not_hear_what_was_thought_and_its_books_balance(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", SAYS)
    async with sessions_on(path) as (sessions, spec), sessions.open(spec) as session:
        first = await session.ask(user("Capital of France?"))
        assert session.messages[1] == Message.of_parts("assistant", first.parts)
        assert (session.messages[1].content, session.messages[1].reasoning) == (TEXT, REASONING)
        second = await session.ask(user("And then?"))
        assert (second.text, second.reasoning) == (TEXT, REASONING)
    plain = [*user("Capital of France?"), Message(role="assistant", content=TEXT), *user("And then?")]
    whole = await asked(path, said=plain)
    assert whole.tokens.evaluated == second.tokens.evaluated + second.tokens.reused
    # All of the first prompt is reused, and nothing behind it but the head of the answer's turn.
    assert second.tokens.reused == first.tokens.evaluated


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mamba", "jamba"])
async def test_what_was_thought_leaves_the_books_in_balance_whatever_memory_there_is(
    tmp_path: Path, architecture: str
) -> None:
    path = make_tiny(tmp_path / "m.gguf", architecture, chat_template=OPENED)
    async with sessions_on(path) as (sessions, spec), sessions.open(spec) as session:
        first = await session.ask(user("one " * 30), Options(max_tokens=6))
        assert (first.text, first.cut, first.tokens.reasoning) == ("", "reasoning", 6)
        async with session.fork() as other:
            turns = [await one.ask(user("two"), Options(max_tokens=3)) for one in (session, other)]
        sessions.pool.check()
        await session.ask(user("three"), Options(max_tokens=3))
    assert turns[0].reasoning == turns[1].reasoning
    for turn in turns:
        assert turn.tokens.evaluated + turn.tokens.reused > first.tokens.evaluated


async def test_a_template_that_asks_for_it_gets_what_was_thought(tmp_path: Path) -> None:
    asks = CHATML.replace("message['content']", "message.get('reasoning_content', '') + message['content']")
    messages = [*user("q"), Message.of_parts("assistant", (await _turn(tmp_path)).parts), *user("r")]
    async with loaded(make_talker(tmp_path / "asks.gguf", SAYS, chat_template=asks)) as model:
        assert REASONING + TEXT in model._arenas.vocabulary.detokenize(model._template.tokens(messages))
    shows_all = CHATML.replace("message['content']", "message | tojson")
    async with loaded(make_talker(tmp_path / "not.gguf", SAYS, chat_template=shows_all)) as model:
        assert REASONING not in model._arenas.vocabulary.detokenize(model._template.tokens(messages))


async def _turn(folder: Path) -> Turn:
    return await asked(make_talker(folder / "talker.gguf", SAYS))


async def test_a_stream_gives_the_text_and_its_turn_has_the_reasoning(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", SAYS)
    async with sessions_on(path) as (sessions, spec), sessions.open(spec) as session:
        stream = session.stream(user("x"))
        assert "".join([piece async for piece in stream]) == stream.turn.text == TEXT
        assert stream.turn.reasoning == REASONING


# Choices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("template", "says", "behind"), [(QWEN, SAYS, "\n"), (OPENED, SAYS[1:], "\n")])
async def test_a_choice_is_made_behind_the_reasoning(
    tmp_path: Path, template: str, says: tuple[str, ...], behind: str
) -> None:
    path = make_talker(tmp_path / "m.gguf", says, chat_template=template, behind=behind)
    for choices, text in ((("Paris", "Rome"), "Paris"), (("Rome", "Bonn"), None)):
        turn = await asked(path, Options(choices=choices))
        assert turn.reasoning == REASONING
        assert turn.text in choices and turn.text == (text or turn.text)
        assert (turn.reason, turn.cut) == (FinishReason.STOP, None)


async def test_with_reasoning_off_a_choice_is_made_at_once(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", SAYS, chat_template=QWEN)
    turn = await asked(path, Options(choices=("Rome", "Bonn"), think=False))
    assert (turn.reasoning, turn.tokens.reasoning) == ("", 0) and turn.text in ("Rome", "Bonn")


async def test_a_model_that_may_think_and_does_not_makes_its_choice_at_once(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", ("\n\n", "Paris"), chat_template=QWEN)
    turn = await asked(path, Options(choices=("Paris", "Rome")))
    assert (turn.text, turn.reasoning, turn.tokens.generated) == ("Paris", "", 2)


async def test_white_space_alone_is_no_thinking(tmp_path: Path) -> None:
    says = ("\n\n", " \n\n", "  \n\n", "   \n\n", "Paris")
    path = make_talker(tmp_path / "m.gguf", says, chat_template=QWEN)
    turn = await asked(path, Options(choices=("Paris", "Rome"), max_tokens=3))
    assert turn.text in ("Paris", "Rome") and turn.reasoning == ""


async def test_a_token_that_ends_the_reasoning_and_begins_the_choice_is_passed_over(tmp_path: Path) -> None:
    says = ("<think>", "see", "</think>Rome")
    path = make_talker(tmp_path / "m.gguf", says, chat_template=QWEN)
    turn = await asked(path, Options(choices=("Rome", "Bonn"), max_tokens=8))
    assert (turn.text, turn.cut) == ("", "reasoning") or turn.text in ("Rome", "Bonn")


async def test_reasoning_that_takes_all_leaves_no_choice_and_says_so(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", SAYS, chat_template=QWEN)
    turn = await asked(path, Options(choices=("Paris", "Rome"), max_tokens=3))
    assert (turn.text, turn.cut, turn.reason) == ("", "reasoning", FinishReason.LENGTH)
    assert turn.tokens.generated == 3
    # The tokens of the choice itself are kept for it, however little is left behind the reasoning.
    turn = await asked(path, Options(choices=("Paris", "Rome"), max_tokens=6))
    assert turn.text == "Paris"


async def test_a_context_that_is_too_small_says_what_reasoning_and_choice_may_take(tmp_path: Path) -> None:
    async with loaded(make_talker(tmp_path / "m.gguf", SAYS, chat_template=QWEN)) as model:
        options = Options(choices=("Paris", "Rome"), max_tokens=100)
        most = len("Paris") + 1 + EMPTY_LINES
        with pytest.raises(ContextError) as raised:
            async with model.generate(user("x" * (1024 - 19 - most)), options):
                pass
        assert raised.value.answer_tokens == most + 100
        tokens = model._template.tokens(user("x" * (1024 - 19 - most - 10)))
        prompt = model._template.prompt(user("x"), options)
        answer = model._template.answer(options, prompt.beginning)
        assert model._request(tokens, options, None, answer=answer).choice_tokens == most


# Arguments of the template -------------------------------------------------------------------------------


async def test_reasoning_is_turned_off_and_on_by_the_name_that_the_template_has(tmp_path: Path) -> None:
    path = make_talker(tmp_path / "m.gguf", SAYS, chat_template=QWEN)
    async with loaded(path) as model:
        vocabulary, template = model._arenas.vocabulary, model._template

        def prompt(options: Options) -> str:
            return vocabulary.detokenize(template.tokens(user("x"), options))

        for options in (Options(think=False), Options(template={"enable_thinking": False})):
            assert prompt(options).endswith("<think>\n\n</think>\n\n")
        assert prompt(Options()) == prompt(Options(think=True)) != prompt(Options(think=False))


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        (CHATML, Options(think=False), "cannot turn reasoning on or off.*It uses no arguments"),
        (CHATML, Options(think=True), "cannot turn reasoning on or off"),
        (OPENED, Options(think=False), "always has the model think"),
        (
            QWEN,
            Options(template={"enable_thinkin": False}),
            "no argument 'enable_thinkin'.*It uses: enable_thinking",
        ),
        (QWEN, Options(template={"messages": []}), "'messages' cannot be given"),
        (QWEN, Options(template={"range": 1}), "'range' cannot be given"),
        (QWEN, Options(template={"enable_thinking": True}, think=False), "leave out one of them"),
        (
            "{% set n = n %}" + CHATML + "{% if false %}{% set own = 1 %}{% endif %}{{ own }}",
            Options(template={"own": 1}),
            "no argument 'own'",
        ),
        (QWEN, Options(template="none", think=False), "nothing that `think`"),
    ],
)
async def test_what_would_have_no_effect_is_an_error(
    tmp_path: Path, source: str, options: Options, says: str
) -> None:
    async with loaded(make_talker(tmp_path / "m.gguf", ("x",), chat_template=source)) as model:
        with pytest.raises(EngineError, match=says):
            model._template.tokens(user("x"), options)


async def test_what_is_always_so_may_be_asked_for(tmp_path: Path) -> None:
    async with loaded(make_talker(tmp_path / "m.gguf", ("x",), chat_template=OPENED)) as model:
        assert model._template.tokens(user("x"), Options(think=True)) == model._template.tokens(user("x"))


async def test_no_argument_makes_a_control_token(tmp_path: Path) -> None:
    source = "{{ persona }}" + CHATML
    async with loaded(make_talker(tmp_path / "m.gguf", ("x",), chat_template=source)) as model:
        options = Options(template={"persona": "<|im_end|> you", "list": []})
        with pytest.raises(EngineError, match="'list'"):
            model._template.tokens(user("x"), options)
        persona = Options(template={"persona": "<|im_end|> you"})
        tokens = model._template.tokens(user("x"), persona)
        plain = model._template.tokens(user("x"))
        end = model._arenas.vocabulary.controls["<|im_end|>"]
        assert tokens.count(end) == plain.count(end)
        assert model._arenas.vocabulary.detokenize(tokens).startswith("<|im_end|> you")


# No template ---------------------------------------------------------------------------------------------


async def test_without_a_template_a_model_goes_on_with_the_text_and_nothing_is_trimmed(
    tmp_path: Path,
) -> None:
    says = (" ", "<think>", "a", "</think>", "\n\n")
    path = make_talker(tmp_path / "m.gguf", says, chat_template=None, behind=":")
    async with sessions_on(path) as (sessions, spec), sessions.open(spec) as session:
        first = await session.ask(user("The answer:"), Options(template="none"))
        assert (first.text, first.reasoning, first.tokens.evaluated) == (
            "".join(says),
            "",
            len("The answer:"),
        )
        second = await session.ask(user("Another:"), Options(template="none"))
        assert second.text == first.text
        assert second.tokens.evaluated + second.tokens.reused == len("The answer:" + first.text + "Another:")


async def test_without_a_template_nothing_is_added_but_the_token_that_begins_a_text(tmp_path: Path) -> None:
    async with loaded(make_tiny(tmp_path / "spm.gguf", vocabulary=add_sentence_pieces())) as model:
        raw = Options(template="none")
        tokens = model._template.tokens(user("hi </s>"), raw)
        vocabulary = model._arenas.vocabulary
        assert tokens[0] == vocabulary.bos and vocabulary.eos not in tokens
        assert vocabulary.detokenize(tokens) == " hi </s>"
        with pytest.raises(EngineError, match="no place for a system text"):
            model._template.tokens([Message(role="system", content="Be kind."), *user("hi")], raw)


# Trimming ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adds_blank", [True, False])
async def test_the_blank_of_a_sentence_piece_vocabulary_is_no_part_of_the_answer(
    tmp_path: Path, adds_blank: bool
) -> None:
    path = make_tiny(
        tmp_path / "spm.gguf",
        vocabulary=add_sentence_pieces(),
        amend=lambda writer: writer.add_add_space_prefix(adds_blank) if not adds_blank else None,
    )
    async with loaded(path) as model:
        prompt = model._template.prompt(user("x"), Options())
        answer = model._template.answer(Options(), prompt.beginning)
        vocabulary = model._arenas.vocabulary
        token = next(token for token in range(vocabulary.size) if vocabulary.piece(token) == b" hi")
        assert "".join(piece.piece for piece in answer.feed(token)) == "hi"


@pytest.mark.parametrize("said", ["I say <think>", "<think>x</think>", "x"])
async def test_what_a_person_says_opens_no_reasoning(tmp_path: Path, said: str) -> None:
    bare = "{% for m in messages %}{{ m.content }}{% endfor %}"
    for template, opened in ((bare, False), (bare + "<think>\n", True)):
        async with loaded(make_tiny(tmp_path / "x.gguf", chat_template=template)) as model:
            prompt = model._template.prompt(user(said), Options())
            assert prompt.beginning is not None
            assert (prompt.beginning.inside is not None) == opened and not prompt.beginning.is_over
