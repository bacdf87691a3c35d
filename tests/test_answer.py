"""An answer as it grows: parted, trimmed, stop texts never in part, characters never broken."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.answer import AnswerParts, Blank, StopText
from samovar.engines.markers import Beginning, Block, Markers
from samovar.generation import TextGenerated

THINK = Markers(is_known=True)
HARMONY = Markers.found("", {"<|channel|>", "<|message|>", "<|start|>", "<|end|>"})
SPELLED_HARMONY = Markers(has_channels=True, is_known=True)
GRANITE = Markers.found("<think></think><response></response>")


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(edges)]


def pieces(answer: AnswerParts, said: list[bytes]) -> list[TextGenerated]:
    shown: list[TextGenerated] = []
    for token, piece in enumerate(said):
        shown += answer.feed(piece, token)
        if answer.stopped:
            break
    return shown + answer.finish()


def of(shown: list[TextGenerated], kind: str) -> str:
    return "".join(piece.piece for piece in shown if piece.kind == kind)


def parted(text: str, markers: Markers = THINK, beginning: Beginning | None = None) -> tuple[str, str]:
    shown = pieces(AnswerParts(markers, beginning), [character.encode() for character in text])
    return of(shown, "reasoning"), of(shown, "text")


# Stop texts ----------------------------------------------------------------------------------------------


@given(st.text(), st.lists(st.integers(0, 200)))
def test_an_answer_that_is_left_as_it_is_comes_through_whole(text: str, cuts: list[int]) -> None:
    raw = text.encode("utf-8", "ignore")
    shown = pieces(AnswerParts(), cut(raw, cuts))
    assert "�" in text or not any("�" in piece.piece for piece in shown)
    assert of(shown, "text") == raw.decode() and not of(shown, "reasoning")


@given(
    st.text("ab¤", max_size=30),
    st.lists(st.text("ab¤", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_a_stop_text_ends_the_answer_before_it_wherever_the_pieces_are_cut(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    answer = AnswerParts(THINK, stop=stop)
    shown = of(pieces(answer, cut(text.encode(), cuts)), "text")
    assert not any(one in shown for one in stop)
    assert answer.stopped == any(one in text for one in stop)
    assert text.startswith(shown)
    if not answer.stopped:
        assert shown == text


def test_what_may_begin_a_stop_text_is_held_back_until_it_cannot() -> None:
    stop = StopText(("</end>",))
    assert stop.feed("yes </en") == "yes "
    assert stop.feed("emy") == "</enemy"
    assert stop.finish() == ""


def test_a_character_cut_at_the_end_is_replaced_not_lost() -> None:
    answer = AnswerParts()
    assert answer.feed("é".encode()[:1]) == []
    assert of(answer.finish(), "text") == "�"


def test_stop_texts_are_looked_for_in_the_text_and_not_in_the_reasoning() -> None:
    answer = AnswerParts(THINK, stop=("\n\n",))
    shown = pieces(answer, [b"<think>a\n\nb</think>\n\n", b"one\n", b"\ntwo"])
    assert (of(shown, "reasoning"), of(shown, "text"), answer.stopped) == ("a\n\nb", "one", True)


# Trimming ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "blank", "value"),
    [
        ("\n \n    indented\n  more\n \n", "text", "    indented\n  more"),
        (" Paris\n", "text", " Paris"),
        (" Paris", "one", "Paris"),
        ("  Paris", "one", "  Paris"),
        (" Paris", "extra", "Paris"),
        ("     indented", "extra", "    indented"),
        ("\t x", "extra", "\t x"),
        (" \n\nParis", "extra", "Paris"),
        ("\r\nParis\r\n", "text", "Paris"),
        (" \n ", "text", ""),
    ],
)
def test_an_answer_loses_the_blank_of_its_vocabulary_empty_lines_and_the_white_space_behind_it(
    said: str, blank: Blank, value: str
) -> None:
    for size in (1, 2, len(said)):
        answer = AnswerParts(THINK, blank=blank)
        assert (
            of(pieces(answer, [said[at : at + size].encode() for at in range(0, len(said), size)]), "text")
            == value
        )


def test_what_is_joined_of_the_pieces_is_the_value_at_every_moment() -> None:
    answer = AnswerParts(THINK)
    assert [piece.piece for piece in answer.feed(b"\n one \n")] == [" one"]
    assert answer.feed(b"\n") == []
    assert [piece.piece for piece in answer.feed(b"two ")] == [" \n\ntwo"]
    assert answer.finish() == []


# Reasoning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "markers", "parts"),
    [
        ("<think>Let me see.</think>\n\nParis", THINK, ("Let me see.", "Paris")),
        ("\n <think>\nLet me see.\n</think> Paris", THINK, ("Let me see.", "Paris")),
        ("The tag is <think>x</think>.", THINK, ("", "The tag is <think>x</think>.")),
        ("<thin air>", THINK, ("", "<thin air>")),
        ("<think>a</think>\n<think>b</think>\nc", THINK, ("a\n\nb", "c")),
        ("<think></think>c", THINK, ("", "c")),
        ("<think>never done", THINK, ("never done", "")),
        ("<think>a</think><response>b\n</response>\n\nc", GRANITE, ("a", "b")),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
         SPELLED_HARMONY, ("a", "b")),
        ("<|channel|>commentary<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
         SPELLED_HARMONY, ("a", "b")),
        (" to=functions.look<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
         SPELLED_HARMONY, ("{}", "")),
        ("<|message|>b", SPELLED_HARMONY, ("", "b")),
        ("just b", SPELLED_HARMONY, ("", "just b")),
        ("t", SPELLED_HARMONY, ("", "t")),
    ],
)  # fmt: skip
def test_what_was_only_thought_is_no_part_of_the_text(
    said: str, markers: Markers, parts: tuple[str, str]
) -> None:
    assert parted(said, markers) == parts


@pytest.mark.parametrize(
    ("template", "begun", "said", "parts"),
    [
        ("{{ c.split('</think>') }}<think>\n", "<a><think>\n", "see\n</think>\n\nParis", ("see", "Paris")),
        ("'<think>' '</think>'", "<a><think>\n", "\n<think>\nsee</think>Paris", ("see", "Paris")),
        ("'<think>' '</think>'", "<a><think>\n", "<thing</think>Paris", ("<thing", "Paris")),
        ("'</think>'", "<a></think>", " Paris", ("", "Paris")),
        ("'[THINK]' '[/THINK]'", "<a>", "[THINK]see[/THINK]Paris", ("see", "Paris")),
        ("'<seed:think>' '</seed:think>'", "", "<seed:think>see</seed:think>Paris", ("see", "Paris")),
        ("'<mm:think>' '</mm:think>'", "<mm:think>", "see</mm:think>Paris", ("see", "Paris")),
        ("<|START_THINKING|><|END_THINKING|>", "", "<|START_THINKING|>see<|END_THINKING|>Paris",
         ("see", "Paris")),
        ("◁think▷ ◁/think▷", "", "◁think▷see◁/think▷Paris", ("see", "Paris")),
        ("'<|channel>thought\\n<channel|>'", "", "<|channel>thought\nsee<channel|>Paris", ("see", "Paris")),
        (
            "after 'Here is my thought process:' and 'Here is my response:'",
            "",
            "Here is my thought process: see\n\nHere is my response: Paris",
            ("see", "Paris"),
        ),
        ("Here are my reasoning steps:\n[BEGIN FINAL RESPONSE]", "Here are my reasoning steps:\n",
         "see\n[BEGIN FINAL RESPONSE]\nParis\n[END FINAL RESPONSE]\n", ("see", "Paris")),
        ("'<' ~ tag ~ '>'", "<ifm|think_fast>\n", "see</ifm|think_fast>Paris", ("see", "Paris")),
        ("'<' ~ tag ~ '>'", "<think:opensource></think:opensource>", " Paris", ("", "Paris")),
        ("nothing of it", "", "<think>see</think>Paris", ("see", "Paris")),
        ("nothing of it", "", "[THINK]see[/THINK]Paris", ("", "[THINK]see[/THINK]Paris")),
    ],
)  # fmt: skip
def test_a_family_is_known_by_its_template_and_what_its_prompt_has_opened(
    template: str, begun: str, said: str, parts: tuple[str, str]
) -> None:
    markers = Markers.found(template)
    assert parted(said, markers, markers.beginning(begun)) == parts


def test_a_family_is_known_by_its_vocabulary_too() -> None:
    markers = Markers.found("{{ messages }}", {"[THINK]", "[/THINK]"})
    assert parted("[THINK]see[/THINK]Paris", markers) == ("see", "Paris")
    assert markers.is_part("[THINK]") and not markers.is_part("[INST]")


def test_where_channels_are_marked_by_tokens_the_same_letters_are_text() -> None:
    answer = AnswerParts(HARMONY)
    shown: list[TextGenerated] = []
    for text in ("<|channel|>", "final", "<|message|>", "say <|end|> or <|message|>", "<|end|>"):
        is_token = text in ("<|channel|>", "<|message|>") or text == "<|end|>"
        shown += answer.feed(text.encode(), is_token=is_token, is_hidden=is_token)
    assert of(shown, "text") == "say <|end|> or <|message|>"


def test_a_control_token_in_the_text_is_shown_to_nobody() -> None:
    answer = AnswerParts(THINK)
    shown = answer.feed(b"a ")
    shown += answer.feed(b"<think>", is_token=True, is_hidden=True)
    assert of(shown + answer.feed(b"b"), "text") == "a b"


WORDS = st.sampled_from(
    ("<think>", "</think>", "<thi", "nk>", "\n", " ", "a", "é", "<response>", "</response>", "<", "END")
)
CHANNEL_WORDS = st.sampled_from(
    ("<|channel|>", "<|message|>", "<|end|>", "<|start|>", "analysis", "final", "assistant", "a", "\n", "<|")
)


@given(
    st.one_of(
        st.tuples(st.just(GRANITE), st.lists(WORDS, max_size=12)),
        st.tuples(st.just(SPELLED_HARMONY), st.lists(CHANNEL_WORDS, max_size=12)),
    ),
    st.booleans(),
    st.lists(st.integers(0, 200), max_size=12),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_the_parts_are_the_same_however_the_answer_is_cut_and_each_token_is_of_one_of_them(
    case: tuple[Markers, list[str]], is_inside: bool, cuts: list[int], others: list[int]
) -> None:
    markers, words = case
    raw = "".join(words).encode()
    beginning = Beginning(inside=markers.blocks[0] if is_inside and not markers.has_channels else None)
    found = []
    for edges in (cuts, others):
        answer = AnswerParts(markers, beginning, stop=("END",))
        said = cut(raw, edges)
        shown = pieces(answer, said)
        found.append((of(shown, "reasoning"), of(shown, "text"), answer.stopped))
        tokens = {
            kind: [t for one in shown if one.kind == kind for t in one.tokens]
            for kind in ("reasoning", "text")
        }
        assert len(tokens["reasoning"]) == answer.reasoning_tokens
        if not answer.stopped:
            assert sorted(tokens["reasoning"] + tokens["text"]) == list(range(len(said)))
    assert found[0] == found[1]
    value = found[0][1]
    assert value == value.rstrip() and not value.startswith("\n")


@pytest.mark.parametrize(
    ("said", "is_done", "part"),
    [
        ("<think>a", True, "reasoning"),
        ("<think>a", False, "reasoning"),
        ("<think>a</think>\n", False, "reasoning"),
        ("<think>a</think>b", False, "text"),
        ("<think>a</think>b", True, None),
        ("b", False, "text"),
        ("", False, "text"),
    ],
)
def test_the_part_that_was_cut_is_told(said: str, is_done: bool, part: str | None) -> None:
    answer = AnswerParts(THINK)
    answer.feed(said.encode())
    assert answer.cut(is_done=is_done) == part


# Choices -------------------------------------------------------------------------------------------------


def test_while_a_model_thinks_it_is_free_and_then_no_more() -> None:
    answer = AnswerParts(THINK, choices=("yes", "no"))
    assert answer.is_free
    assert [answer.judge(raw) for raw in (b"\n", b"<thi", b"<think>", b"ye", b"<b>")] == [
        "thinks", "thinks", "thinks", "says", "says",
    ]  # fmt: skip
    assert answer.judge(b"\n" * 5) == "says"
    answer.feed(b"<think>so")
    assert [answer.judge(raw) for raw in (b" ye", b"</think>", b"</think>\n\n", b"</think>yes")] == [
        "thinks", "thinks", "thinks", "crosses",
    ]  # fmt: skip
    assert answer.is_free
    answer.feed(b"</think>\n")
    assert of(answer.feed(b"\nyes"), "text") == "yes"
    assert not answer.is_free


def test_a_model_that_does_not_think_is_held_to_its_choices_from_the_start() -> None:
    assert not AnswerParts(Markers(), choices=("yes",)).is_free
    assert not AnswerParts(THINK, Beginning(is_over=True), choices=("yes",)).is_free
    assert AnswerParts(THINK, Beginning(inside=Block(opens="<a>", closes="</a>")), choices=("yes",)).is_free


def test_a_choice_keeps_its_own_white_space() -> None:
    for markers in (Markers(), THINK):
        answer = AnswerParts(markers, choices=(" yes\n",))
        assert of(pieces(answer, [b" y", b"es\n"]), "text") == " yes\n"
