"""Runs that would take the engine's tokenizer hours are cut, into the pieces that it makes of them itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.engines.llama.cuts import RUN_BLANKS, RUN_DIGITS, STEP_BLANKS, pieces
from samovar.engines.llama.vocabulary import Vocabulary
from tests.test_controls import opened
from tests.test_tokenizing import with_pre_tokenizer

CUTTING = ("superbpe", "deepseek-llm", "jais-2")


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Vocabulary]]:
    folder = tmp_path_factory.mktemp("cuts")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(opened(with_pre_tokenizer(folder / f"{name}.gguf", name)))[1]
            for name in CUTTING
        }


def uncut(vocabulary: Vocabulary, text: str) -> list[int]:
    return vocabulary._tokenizing.run(lambda: vocabulary._tokenize_piece(text, False), len(text))


RUN = st.builds(
    lambda run, length: (run * length)[:length],
    st.sampled_from(["7", "123", " ", "\t ", "\n", "x", ".", "漢", "7 ", "٣"]),
    st.sampled_from([1, 2, 3, 63, 64, 65, 99, 100, 101, 198, 300, 301, 4095, 4096, 4097, 4609, 8195]),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", CUTTING)
@settings(max_examples=40)
@given(runs=st.lists(RUN, max_size=4), number=st.integers(0, 10**120))
def test_the_pieces_of_a_text_become_its_tokens(
    vocabularies: dict[str, Vocabulary], name: str, runs: list[str], number: int
) -> None:
    text = "".join(runs) + f"{number}x"
    assert "".join(pieces(name, text)) == text
    assert vocabularies[name].tokenize(text, special=False) == uncut(vocabularies[name], text)


@pytest.mark.parametrize("name", CUTTING)
def test_no_piece_has_more_of_a_run_than_is_looked_at_again_and_again(name: str) -> None:
    text = "x" + "7" * 1000 + " " * 9000 + "8" + "\t" * RUN_BLANKS + "漢"
    parts = pieces(name, text)
    assert "".join(parts) == text
    if name == "deepseek-llm":
        assert [part[:1] for part in parts] == ["x", "8", "漢"]
    elif name == "jais-2":
        assert max(map(len, parts[1:])) == STEP_BLANKS and parts[-1].endswith("漢")
    else:
        assert max(part.count("7") for part in parts) == RUN_DIGITS


def test_looking_for_cuts_grows_with_the_text() -> None:
    """A pattern that goes back over a run for each of its characters would take hours here."""
    for text in (" " * 1_000_000 + "x", "\n" * 1_000_000, "7" * 1_000_000 + "x"):
        for name in CUTTING:
            assert sum(map(len, pieces(name, text))) == len(text)


def test_other_pre_tokenizers_get_texts_whole() -> None:
    text = "7" * 1000 + " " * 1000 + "7"
    assert pieces("llama-bpe", text) == pieces("", text) == [text]
    assert pieces("superbpe", "") == [""]
