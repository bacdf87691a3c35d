"""The text of an answer: stop texts never in part, characters never broken."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.llama.answer import AnswerText


def said(pieces: list[bytes], stop: tuple[str, ...]) -> tuple[str, bool]:
    answer = AnswerText(stop)
    shown = ""
    for piece in pieces:
        shown += answer.feed(piece)
        if answer.stopped:
            break
    return shown + answer.finish(), answer.stopped


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:end] for start, end in itertools.pairwise(edges)]


@given(st.text(), st.lists(st.integers(0, 200)))
def test_without_stop_texts_everything_comes_through_whole(text: str, cuts: list[int]) -> None:
    raw = text.encode("utf-8", "ignore")
    answer = AnswerText()
    shown = [answer.feed(piece) for piece in cut(raw, cuts)]
    assert "�" in text or not any("�" in piece for piece in shown)
    assert "".join(shown) + answer.finish() == raw.decode()


@given(
    st.text("ab¤", max_size=30),
    st.lists(st.text("ab¤", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_a_stop_text_ends_the_answer_before_it_wherever_the_pieces_are_cut(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    shown, stopped = said(cut(text.encode(), cuts), tuple(stop))
    assert not any(one in shown for one in stop)
    assert stopped == any(one in text for one in stop)
    assert text.startswith(shown)
    if not stopped:
        assert shown == text


def test_what_may_begin_a_stop_text_is_held_back_until_it_cannot() -> None:
    answer = AnswerText(("</end>",))
    assert answer.feed(b"yes </en") == "yes "
    assert answer.feed(b"emy") == "</enemy"
    assert answer.finish() == ""


def test_a_character_cut_at_the_end_is_replaced_not_lost() -> None:
    answer = AnswerText()
    assert answer.feed("é".encode()[:1]) == ""
    assert answer.finish() == "�"
