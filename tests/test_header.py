"""GGUF headers: a good file is read, and whatever is wrong with a file is one clear error."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samovar.errors import ModelError, ModelFileError, ModelNotFoundError
from samovar.models.cost import predict
from samovar.models.header import read_header
from tests.tiny import patched


def test_a_good_header_gives_the_facts(tiny_model: Path) -> None:
    header = read_header(tiny_model)
    assert header.architecture == "llama"
    assert (header.layers, header.embedding_length, header.context_tokens) == (2, 64, 4096)
    assert header.kv_heads == (2, 2) and header.key_length == header.value_length == 16
    assert header.vocabulary_size == 267
    assert header.has_chat_template
    assert header.file_bytes == tiny_model.stat().st_size


def test_the_cost_of_kv_is_what_the_formula_says(tiny_model: Path) -> None:
    cost = predict(read_header(tiny_model), context_tokens=1000)
    assert cost.kv_bytes == 1024 * 2 * 2 * (16 + 16) * 2
    assert not cost.estimated
    smaller = predict(read_header(tiny_model), context_tokens=1000, kv_type="q8_0")
    assert smaller.kv_bytes == cost.kv_bytes * 34 // 64


def bad(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "is empty"),
        (b"GGUF", "only 4 bytes"),
        (b"just some text, no model at all", "it is text that begins"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>not found</body>", "it is a web page"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (os.urandom(8).replace(b"GGUF", b"xxxx") + bytes(64), "is no GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 1) + bytes(64), "GGUF version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(64), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 60) + bytes(64), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(64), "no tensors"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 62) + bytes(64), "damaged"),
    ],
)
def test_what_is_no_model_is_said_plainly(tmp_path: Path, raw: bytes, says: str) -> None:
    with pytest.raises(ModelFileError, match=says) as caught:
        read_header(bad(tmp_path / "x.gguf", raw))
    assert "x.gguf" in str(caught.value)


def test_a_missing_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ModelNotFoundError, match=r"Did you mean 'model\.gguf'"):
        read_header(tmp_path / "modle.gguf")


def test_a_folder_a_pipe_and_a_long_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "inside.gguf").touch()
    with pytest.raises(ModelFileError, match=r"is a folder.*inside\.gguf"):
        read_header(tmp_path)
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_header(tmp_path / "pipe.gguf")
    with pytest.raises(ModelError):
        read_header(tmp_path / ("x" * 5000))


@pytest.mark.parametrize("keep", [0.01, 0.1, 0.5, 0.99])
def test_a_truncated_file_says_so_with_both_numbers(tmp_path: Path, tiny_model: Path, keep: float) -> None:
    raw = tiny_model.read_bytes()
    with pytest.raises(ModelFileError, match=rf"truncated: it has {int(len(raw) * keep)} bytes"):
        read_header(bad(tmp_path / "x.gguf", raw[: int(len(raw) * keep)]))


def test_an_unknown_architecture_is_named(tmp_path: Path, tiny_model: Path) -> None:
    raw = tiny_model.read_bytes().replace(b"llama", b"lluma")
    with pytest.raises(ModelFileError, match=r"'lluma'.*Did you mean 'llama'"):
        read_header(bad(tmp_path / "x.gguf", raw))


def test_a_model_that_answers_no_prompts_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    key = b"general.architecture" + struct.pack("<IQ", 8, 5)
    path = patched(tiny_model, tmp_path / "x.gguf", key + b"llama", key + b"dream")
    with pytest.raises(ModelFileError, match="'dream' model, which does not answer prompts"):
        read_header(path)


@pytest.mark.parametrize("tokens", [0, (1 << 31) - 1, (1 << 32) - 1])
def test_an_absurd_context_is_refused(tmp_path: Path, tiny_model: Path, tokens: int) -> None:
    key = b"llama.context_length" + struct.pack("<I", 4)
    path = patched(
        tiny_model, tmp_path / "x.gguf", key + struct.pack("<I", 4096), key + struct.pack("<I", tokens)
    )
    with pytest.raises(ModelFileError, match="context"):
        read_header(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_is_a_model_error_or_still_good(
    tmp_path: Path, tiny_model: Path, data: st.DataObject
) -> None:
    raw = bytearray(tiny_model.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 12_000))] = data.draw(st.integers(0, 255))
    try:
        read_header(bad(tmp_path / "x.gguf", bytes(raw)))
    except ModelError as error:
        assert "x.gguf" in str(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=400))
def test_any_bytes_after_the_magic_are_a_model_error(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(ModelError):
        read_header(bad(tmp_path / "x.gguf", b"GGUF" + struct.pack("<I", 3) + raw))
