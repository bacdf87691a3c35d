"""What a model takes, private and mapped from its file apart, is what was predicted from its header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from samovar.engines.llama.convert import convert
from samovar.models.held_weights import this_build
from tests.taken import ROLLUP, Child, loaded
from tests.tiny import Sizes, make_tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("memory-taken"),
    pytest.mark.skipif(not ROLLUP.exists(), reason="the system does not say which bytes are private"),
]

CONTEXT_TOKENS = 1024
TOLERANCE_BYTES = 8_000_000
TOLERANCE = 0.05
SIZES = Sizes(layers=6, width=768, heads=12, kv_heads=4, feed_forward=2048, more_tokens=6000)
"""Some 190 MB as 32-bit numbers, 29 MB with 4 bits each."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = make_tiny(tmp_path_factory.mktemp("taken") / "f32.gguf", sizes=SIZES)
    yield path
    path.unlink()


def is_close(predicted_bytes: int, taken_bytes: int) -> bool:
    return abs(predicted_bytes - taken_bytes) <= max(TOLERANCE_BYTES, TOLERANCE * taken_bytes)


def check(child: Child) -> None:
    taken = child.taken
    assert is_close(child.predicted_private_bytes, taken.private_bytes), (
        child.predicted_private_bytes,
        taken,
    )
    assert is_close(child.predicted_mapped_bytes, taken.mapped_bytes), (child.predicted_mapped_bytes, taken)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f16", "q4_0", "q4_1", "q4_k", "q5_k", "q6_k", "q8_0", "iq4_nl"])
def test_each_type_takes_what_was_predicted(
    name: str, source: Path, tiny_model: Path, tmp_path: Path
) -> None:
    convert(source, tmp_path / "x.gguf", name)
    with loaded(tiny_model, tmp_path / "x.gguf", CONTEXT_TOKENS) as child:
        check(child)
        if name in ("q4_0", "q4_k", "iq4_nl") and this_build().features:
            assert child.taken.private_bytes > child.taken.mapped_bytes, "it is repacked"


@pytest.mark.slow
def test_embeddings_that_are_the_output_too_are_there_twice_if_they_are_repacked(
    tiny_model: Path, tmp_path: Path
) -> None:
    sizes = Sizes(
        layers=2, width=512, heads=8, kv_heads=2, feed_forward=1024, more_tokens=60_005
    )  # in all a multiple of 8
    convert(make_tiny(tmp_path / "f32.gguf", "gemma2", sizes=sizes), tmp_path / "x.gguf", "q4_0")
    for repack in (True, False):
        with loaded(tiny_model, tmp_path / "x.gguf", CONTEXT_TOKENS, repack=repack) as child:
            check(child)


@pytest.mark.slow
@pytest.mark.parametrize("repack", [True, False])
def test_two_processes_with_one_file_share_what_is_mapped_and_nothing_else(
    repack: bool, source: Path, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    convert(source, path, "q4_k")
    with (
        loaded(tiny_model, path, CONTEXT_TOKENS, repack=repack) as one,
        loaded(tiny_model, path, CONTEXT_TOKENS, repack=repack) as other,
    ):
        taken_bytes = sum(child.now().proportional_bytes for child in (one, other))
        predicted_bytes = 2 * one.predicted_private_bytes + one.predicted_mapped_bytes
        assert is_close(predicted_bytes, taken_bytes)
        if this_build().features:
            held_bytes = one.predicted_private_bytes + one.predicted_mapped_bytes
            assert (predicted_bytes > 2 * held_bytes - TOLERANCE_BYTES) == repack


@pytest.mark.real
@pytest.mark.parametrize("name", ["q4_0", "q8_0", "f16"])
def test_the_default_model_takes_what_was_predicted_in_other_types(
    name: str, real_model: Path, tiny_model: Path, tmp_path: Path
) -> None:
    convert(real_model, tmp_path / "x.gguf", name)
    with loaded(tiny_model, tmp_path / "x.gguf", CONTEXT_TOKENS) as child:
        check(child)
