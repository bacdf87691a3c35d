"""GGUF headers: a good file is read, whatever is wrong is one clear error, and what is accepted is safe.

What would end the process in the engine is refused before the engine sees it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.engines.llama.binding import find_library, open_binding
from samovar.errors import ModelError, ModelFileError, ModelNotFoundError
from samovar.models import tensor_types
from samovar.models.header import read_header
from tests.tiny import byte_texts, make_tiny, patched

Amendment = Callable[[gguf.GGUFWriter], object]


def number(key: str, value: int) -> Amendment:
    return lambda writer: writer.add_uint32(f"llama.{key}", value)


def fraction(key: str, value: float) -> Amendment:
    return lambda writer: writer.add_float32(f"llama.{key}", value)


def text(key: str, value: str) -> Amendment:
    return lambda writer: writer.add_string(f"llama.{key}", value)


# What is good, and what is none ---------------------------------------------------------------------


def test_a_good_header_gives_the_facts(tiny_model: Path) -> None:
    header = read_header(tiny_model)
    assert header.architecture == "llama"
    assert (header.context_tokens, header.shape.embedding, header.shape.query) == (4096, 64, 64)
    assert header.shape.cell_elements == 2 * 2 * (16 + 16), "layers, heads, key and value"
    assert header.vocabulary_size == 267
    assert header.file_bytes == tiny_model.stat().st_size


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
        (b"\x80\xfe\x00\x91\x1b\xff\x07\xc3" + bytes(64), "is not a GGUF"),
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
    with pytest.raises(ModelFileError, match="'dream' model, which can neither answer"):
        read_header(path)


@pytest.mark.parametrize("tokens", [0, (1 << 31) - 1, (1 << 32) - 1])
def test_an_absurd_context_is_refused(tmp_path: Path, tiny_model: Path, tokens: int) -> None:
    key = b"llama.context_length" + struct.pack("<I", 4)
    path = patched(
        tiny_model, tmp_path / "x.gguf", key + struct.pack("<I", 4096), key + struct.pack("<I", tokens)
    )
    with pytest.raises(ModelFileError, match="context"):
        read_header(path)


@pytest.mark.slow
@settings(max_examples=300)
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


@settings(max_examples=200)
@given(raw=st.binary(max_size=400))
def test_any_bytes_after_the_magic_are_a_model_error(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(ModelError):
        read_header(bad(tmp_path / "x.gguf", b"GGUF" + struct.pack("<I", 3) + raw))


# What would end the process -------------------------------------------------------------------------

# Each of these ended the process of the pinned engine, in `abort` or by a signal.


@pytest.mark.parametrize(
    ("amend", "says"),
    [
        (number("expert_count", 8), "uses 0 of 8 experts"),
        (number("expert_count", 4_000_000_000), "4000000000 experts"),
        (number("expert_used_count", 64), "uses 64 of 0 experts"),
        (lambda w: w.add_array("llama.expert_used_count", [3, 4]), "uses 4 of 0 experts"),
        (number("expert_group_count", 3), "0 of 3 groups"),
        (number("nextn_predict_layers", 3), "3 of its 2 layers"),
        (text("rope.scaling.type", "su"), "'su', but the engine knows none, linear"),
        (text("classifier.activation", "relu"), "'relu', but the engine knows gelu"),
        (fraction("attention.layer_norm_epsilon", -1.0), "must be at least 0"),
        (fraction("attention.layer_norm_epsilon", float("nan")), "must be at least 0"),
    ],
)
def test_a_header_that_the_engine_asserts_against_is_refused(
    tmp_path: Path, amend: Amendment, says: str
) -> None:
    with pytest.raises(ModelFileError, match=says):
        read_header(make_tiny(tmp_path / "x.gguf", amend=amend))


def test_more_layers_than_the_engine_has_room_for_are_refused(tmp_path: Path, tiny_model: Path) -> None:
    key = b"llama.block_count" + struct.pack("<I", 4)
    path = patched(tiny_model, tmp_path / "x.gguf", key + struct.pack("<I", 2), key + struct.pack("<I", 513))
    with pytest.raises(ModelFileError, match="513 layers, but the engine supports 1 to 512"):
        read_header(path)


def test_a_vocabulary_with_a_token_twice_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    one, other = (struct.pack("<Q", 1) + letter for letter in (b"A", b"B"))
    with pytest.raises(ModelFileError, match="of the 267 tokens of its vocabulary only 266 differ"):
        read_header(patched(tiny_model, tmp_path / "x.gguf", one, other))


def test_tokens_are_compared_up_to_a_nul_as_the_engine_does(tmp_path: Path, tiny_model: Path) -> None:
    same = struct.pack("<Q", 2)
    path = patched(tiny_model, tmp_path / "x.gguf", same + b"he", same + b"h\0")
    with pytest.raises(ModelFileError, match="only 266 differ"):
        read_header(path)


@pytest.mark.parametrize(
    ("name", "kind"), [("output_norm.weight", 1), ("blk.0.attn_q.weight", 26), ("blk.0.ffn_down.weight", 9)]
)
def test_a_tensor_type_that_crashes_the_engine_is_refused(
    tmp_path: Path, tiny_model: Path, name: str, kind: int
) -> None:
    raw = bytearray(tiny_model.read_bytes())
    at = raw.index(name.encode()) + len(name)
    dimensions = struct.unpack_from("<I", raw, at)[0]
    struct.pack_into("<I", raw, at + 4 + 8 * dimensions, kind)
    (tmp_path / "x.gguf").write_bytes(raw)
    with pytest.raises(ModelFileError, match=rf"{name}' has the type {kind}"):
        read_header(tmp_path / "x.gguf")


@pytest.mark.parametrize(("was", "now"), [(b"gpt2", b"none"), (b"gpt2", b"\0\0\0\0")])
def test_no_vocabulary_is_said(tmp_path: Path, tiny_model: Path, was: bytes, now: bytes) -> None:
    path = patched(tiny_model, tmp_path / "x.gguf", was, now)
    if now == b"none":
        with pytest.raises(ModelFileError, match="has no vocabulary"):
            read_header(path)
    else:
        read_header(path)  # an unknown tokenizer is the engine's to refuse: it does so with an error


def test_a_vocabulary_of_words_with_tokens_for_bytes_is_refused(tmp_path: Path) -> None:
    def amend(writer: gguf.GGUFWriter) -> None:
        values = writer.kv_data[0]
        values["tokenizer.ggml.model"].value = "bert"
        values["tokenizer.ggml.token_type"].value[0] = gguf.TokenType.BYTE

    with pytest.raises(ModelFileError, match="tokens for single bytes, which the engine cannot write"):
        read_header(make_tiny(tmp_path / "x.gguf", amend=amend))


def test_a_pre_tokenizer_that_leaves_blanks_to_the_merges_is_refused(tmp_path: Path) -> None:
    def amend(writer: gguf.GGUFWriter) -> None:
        writer.kv_data[0]["tokenizer.ggml.pre"].value = "whitespace"

    with pytest.raises(ModelFileError, match="'gpt2' does not go with the pre-tokenizer 'whitespace'"):
        read_header(make_tiny(tmp_path / "x.gguf", amend=amend))


def test_a_tokenizer_that_needs_a_token_per_byte_has_one(tmp_path: Path) -> None:
    def spelling(missing: str) -> Path:
        plain = [f"<0x{byte:02X}>" for byte in range(256) if f"<0x{byte:02X}>" != missing]
        writer = gguf.GGUFWriter(str(tmp_path / "x.gguf"), "llama")
        writer.add_context_length(512)
        writer.add_embedding_length(64)
        writer.add_block_count(1)
        writer.add_head_count(4)
        writer.add_tokenizer_model("llama")
        writer.add_token_list(["<unk>", "<s>", "</s>", *plain])
        writer.add_tensor("token_embd.weight", np.zeros((3 + len(plain), 64), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / "x.gguf"

    with pytest.raises(ModelFileError, match="lacks tokens for single bytes"):
        read_header(spelling("<0x41>"))
    assert read_header(spelling("<0xFF>")).vocabulary_size == 258  # no text has this byte


def test_a_tensor_that_does_not_follow_the_one_before_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    raw = bytearray(tiny_model.read_bytes())
    at = raw.index(b"output_norm.weight") + len(b"output_norm.weight") + 4 + 8 + 4
    struct.pack_into("<Q", raw, at, struct.unpack_from("<Q", raw, at)[0] + 32)
    (tmp_path / "x.gguf").write_bytes(raw)
    with pytest.raises(ModelFileError, match=r"output_norm\.weight' begins at \d+ and should at \d+"):
        read_header(tmp_path / "x.gguf")


# What is accepted is safe ----------------------------------------------------------------------------

USE_THEM = """
import sys
from pathlib import Path
import anyio
from samovar.engines.base import ModelSpec
from samovar.engines.llama.engine import LlamaEngine
from samovar.errors import SamovarError
from samovar.generation import Message, Options

async def use(path):
    engine, spec = LlamaEngine(), ModelSpec(reference=path.name, path=path, threads=1)
    try:
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        async with model.generate([Message(role="user", content="hi")], Options(max_tokens=2)) as events:
            async for event in events:
                pass
        await model.close()
    except SamovarError:
        pass
    finally:
        engine.close()

for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path.name, flush=True)
    anyio.run(use, path)
print("all survived")
"""


def amendments() -> list[Amendment]:
    """Entries with values that no one means."""
    whole = [
        "expert_count", "expert_group_count", "nextn_predict_layers", "attention.key_length",
        "attention.value_length", "attention.sliding_window", "vocab_size", "pooling_type",
        "rope.scaling.original_context_length",
        "leading_dense_block_count", "expert_feed_forward_length",
    ]  # fmt: skip
    parts = [
        "rope.freq_base",
        "rope.scaling.factor",
        "attention.max_alibi_bias",
        "attention.clamp_kqv",
        "logit_scale",
    ]
    made = [number(key, value) for key in whole for value in (0, 1, 3, (1 << 32) - 1)]
    made += [fraction(key, value) for key in parts for value in (0.0, -1.0, float("nan"), float("inf"))]
    made += [text("rope.scaling.type", kind) for kind in ("none", "yarn", "longrope", "")]
    return made


@pytest.mark.slow
def test_no_header_that_is_accepted_ends_the_process_of_the_engine(tmp_path: Path) -> None:
    accepted = 0
    folder = tmp_path / "accepted"
    folder.mkdir()
    contexts = [5, 63, 64, 300]  # also fewer cells than sequences
    for at, (amend, context) in enumerate(
        [(amend, 4096) for amend in amendments()] + [(number("unknown", 1), tokens) for tokens in contexts]
    ):
        path = make_tiny(folder / f"{at:03}.gguf", amend=amend, context=context)
        try:
            read_header(path)
            accepted += 1
        except ModelError:
            path.unlink()
    assert accepted > 20
    done = subprocess.run(
        [sys.executable, "-c", USE_THEM, str(folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stdout.endswith("all survived\n"), (
        done.stdout[-20:] + done.stderr[-2000:]
    )


def test_sizes_of_tensor_types_are_those_of_the_engine() -> None:
    open_binding()
    engine = ctypes.CDLL(str(find_library()))
    engine.ggml_type_size.restype = ctypes.c_size_t
    engine.ggml_blck_size.restype = ctypes.c_int64
    for kind, sizes in tensor_types.TYPE_SIZES.items():
        assert (engine.ggml_blck_size(kind), engine.ggml_type_size(kind)) == sizes, kind


# Bounds -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_texts_that_are_not_asked_for_are_not_built(tmp_path: Path) -> None:
    tokens = [f"token {number}" for number in range(262_144)]

    def amend(writer: gguf.GGUFWriter) -> None:
        writer.add_array("tokenizer.ggml.merges_of_another", [f"{one} {one}" for one in tokens])

    path = make_tiny(tmp_path / "x.gguf", amend=amend)
    code = (
        "import sys, tracemalloc\nfrom pathlib import Path\nfrom samovar.models.header import read_header\n"
        "tracemalloc.start()\nread_header(Path(sys.argv[1]))\nprint(tracemalloc.get_traced_memory()[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert int(done.stdout) < 4 << 20


@pytest.mark.slow
@settings(max_examples=200)
@given(data=st.data())
def test_a_message_about_a_damaged_header_stays_short(
    tmp_path: Path, tiny_model: Path, data: st.DataObject
) -> None:
    raw = bytearray(tiny_model.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(24, 6000))] = data.draw(st.integers(0, 255))
    (tmp_path / "x.gguf").write_bytes(raw)
    try:
        read_header(tmp_path / "x.gguf")
    except ModelError as error:
        assert len(str(error).replace(str(tmp_path), "")) < 500


def test_an_entry_of_another_type_is_no_crash(tmp_path: Path) -> None:
    def amend(writer: gguf.GGUFWriter) -> None:
        writer.add_string("tokenizer.ggml.tokens.length", "not a number")
        writer.add_array("llama.attention.key_length", ["a", "b"])

    with pytest.raises(ModelFileError, match=r"attention\.key_length as None"):
        read_header(make_tiny(tmp_path / "x.gguf", amend=amend))


def test_the_tiny_vocabulary_has_every_byte_once() -> None:
    assert len(set(byte_texts())) == 256
