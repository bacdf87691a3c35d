"""A copy of a model in another type: what is in it, how large it is, and that it is whole or not there."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from samovar.engines.llama.convert import FORMATS, convert, converted_bytes
from samovar.errors import ModelFileError
from samovar.models.header import read_header
from tests.tiny import Sizes, make_tiny

MOST_ERROR = {"f16": 0.001, "q8_0": 0.01, "q6_k": 0.03, "q5_k": 0.06, "q5_0": 0.08, "q5_1": 0.08}
"""Of the numbers of a matrix, relative to their spread; others have 4 bits."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of 256, as the k types need them."""
    path = tmp_path_factory.mktemp("wide") / "wide.gguf"
    return make_tiny(path, sizes=Sizes(width=256, feed_forward=512))


def numbers(path: Path) -> dict[str, np.ndarray]:
    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        for tensor in gguf.GGUFReader(path).tensors
    }


@pytest.mark.parametrize("name", FORMATS)
def test_every_matrix_has_the_type_and_the_numbers_are_nearly_the_same(
    name: str, wide: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.gguf"
    fractions: list[float] = []
    convert(wide, copy, name, on_progress=fractions.append)

    assert copy.stat().st_size == converted_bytes(wide, name)
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    kinds = {tensor.name: tensor.kind for tensor in read_header(copy).tensors}
    assert {kind for name_, kind in kinds.items() if "norm" not in name_} == {FORMATS[name].kind}
    assert {kind for name_, kind in kinds.items() if "norm" in name_} == {0}
    before, after = numbers(wide), numbers(copy)
    assert before.keys() == after.keys()
    for one, values in before.items():
        error = np.abs(values - after[one]).mean() / (values.std() + np.abs(values).mean() * 1e-6 + 1e-9)
        assert error < MOST_ERROR.get(name, 0.15) or np.array_equal(values, after[one]), one


def test_the_header_is_that_of_the_source_but_for_the_file_type(wide: Path, tmp_path: Path) -> None:
    source = make_tiny(tmp_path / "source.gguf", amend=lambda writer: writer.add_file_type(0))
    convert(source, tmp_path / "copy.gguf", "q8_0")
    before, after = (gguf.GGUFReader(path).fields for path in (source, tmp_path / "copy.gguf"))

    assert list(before) == list(after)
    assert after["general.file_type"].contents() == FORMATS["q8_0"].file_type
    same = [name for name in before if name != "general.file_type" and not name.startswith("GGUF.")]
    assert [before[name].contents() for name in same] == [after[name].contents() for name in same]


def test_what_is_quantized_already_is_read_back_first(wide: Path, tmp_path: Path) -> None:
    convert(wide, tmp_path / "small.gguf", "q4_1")
    convert(tmp_path / "small.gguf", tmp_path / "again.gguf", "q8_0")
    first, second = numbers(tmp_path / "small.gguf"), numbers(tmp_path / "again.gguf")
    for name, values in first.items():
        assert np.abs(values - second[name]).max() <= np.abs(values).max() / 100


def test_rows_that_have_no_whole_number_of_blocks_get_the_next_type(tmp_path: Path) -> None:
    source = make_tiny(tmp_path / "narrow.gguf")  # rows of 64 and 128
    convert(source, tmp_path / "copy.gguf", "q4_k")
    kinds = {tensor.kind for tensor in read_header(tmp_path / "copy.gguf").tensors}
    assert kinds == {0, FORMATS["q5_0"].kind}


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mamba", "jamba"])
def test_a_converted_model_of_each_kind_of_memory_is_taken_by_the_engine(
    architecture: str, tmp_path: Path
) -> None:
    from samovar.engines.llama.binding import open_binding

    source = make_tiny(tmp_path / "source.gguf", architecture)
    convert(source, tmp_path / "copy.gguf", "q8_0")
    lib = open_binding().lib
    weights = lib.llama_model_load_from_file(
        str(tmp_path / "copy.gguf").encode(), lib.llama_model_default_params()
    )
    assert weights
    lib.llama_model_free(weights)


def test_a_copy_that_is_stopped_leaves_nothing(wide: Path, tmp_path: Path) -> None:
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(wide, tmp_path / "copy.gguf", "q8_0", on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_source_and_a_folder_that_is_not_there_are_said(wide: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(wide.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="truncated"):
        convert(short, tmp_path / "copy.gguf", "q8_0")
    with pytest.raises(ModelFileError, match="cannot be written"):
        convert(wide, tmp_path / "none" / "copy.gguf", "q8_0")


def test_a_model_in_several_files_becomes_one_as_the_whole_one_would(tmp_path: Path) -> None:
    whole = make_tiny(tmp_path / "whole.gguf", amend=lambda writer: writer.add_file_type(0))
    make_tiny(tmp_path / "tiny.gguf", amend=lambda writer: writer.add_file_type(0), part_tensors=8)
    parts = sorted(tmp_path.glob("tiny-*-of-*.gguf"))
    assert len(parts) == 3
    convert(whole, tmp_path / "wanted.gguf", "q8_0")
    for part in parts:
        convert(part, tmp_path / "copy.gguf", "q8_0")
        assert (tmp_path / "copy.gguf").read_bytes() == (tmp_path / "wanted.gguf").read_bytes()
        assert converted_bytes(part, "q8_0") == (tmp_path / "copy.gguf").stat().st_size
    assert set(read_header(tmp_path / "copy.gguf").tensors) == set(
        read_header(tmp_path / "wanted.gguf").tensors
    )
