"""The tiny model's vocabulary, in the real engine: every text comes back as it went in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.llama.binding import open_binding
from samovar.engines.llama.vocabulary import Vocabulary
from tests.tiny import CONTROL


@pytest.fixture(scope="module")
def vocabulary(tiny_model: Path) -> Iterator[Vocabulary]:
    binding = open_binding()
    binding.begin_use()
    model = binding.lib.llama_model_load_from_file(
        str(tiny_model).encode(), binding.lib.llama_model_default_params()
    )
    assert model != binding.ffi.NULL
    yield Vocabulary(binding, model)
    binding.lib.llama_model_free(model)
    binding.end_use()


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(vocabulary: Vocabulary, text: str) -> None:
    assert vocabulary.detokenize(vocabulary.tokenize(text, special=False)) == text


@given(parts=st.lists(st.sampled_from([*CONTROL, "<|", "|>", "im_end", " hello\n"])))
def test_control_texts_in_data_come_back_as_text(vocabulary: Vocabulary, parts: list[str]) -> None:
    tokens = vocabulary.tokenize("".join(parts), special=False)
    assert vocabulary.detokenize(tokens) == "".join(parts)
    assert not any(vocabulary.is_end(token) for token in tokens)


def test_control_texts_of_a_template_are_one_token_each(vocabulary: Vocabulary) -> None:
    tokens = [vocabulary.tokenize(text, special=True) for text in CONTROL]
    assert [len(one) for one in tokens] == [1, 1, 1]
    assert tokens[2] == [vocabulary.eos] and vocabulary.is_end(vocabulary.eos)
