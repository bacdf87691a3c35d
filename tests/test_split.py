"""Models in several files: named by any of them, counted and known by all of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.base import ModelSpec
from samovar.engines.llama.counting import open_template
from samovar.engines.llama.engine import LlamaEngine
from samovar.errors import ModelFileError, ModelNotFoundError
from samovar.generation import Message, Options, TextGenerated
from samovar.models.header import read_header
from samovar.models.snapshot_file import fingerprint
from samovar.models.split import first_name, part_names, ranges_of_parts
from tests.tiny import make_tiny

pytestmark = pytest.mark.anyio


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    make_tiny(tmp_path / "tiny.gguf", part_tensors=8)
    return sorted(tmp_path.glob("tiny-*.gguf"))


async def answer(path: Path) -> str:
    engine = LlamaEngine()
    spec = ModelSpec(reference="tiny", path=path, context_tokens=512, threads=1)
    try:
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        try:
            messages = [Message(role="user", content="hello")]
            async with model.generate(messages, Options(max_tokens=8)) as events:
                return "".join([event.piece async for event in events if isinstance(event, TextGenerated)])
        finally:
            await model.close()
    finally:
        engine.close()


def test_a_header_is_that_of_all_parts(parts: list[Path], tiny_model: Path) -> None:
    whole = read_header(tiny_model)
    for part in parts:
        header = read_header(part)
        assert header.tensor_bytes == whole.tensor_bytes and len(header.tensors) == len(whole.tensors)
        assert (header.vocabulary_size, header.shape) == (whole.vocabulary_size, whole.shape)
        assert header.file_bytes == sum(one.stat().st_size for one in parts)
    assert len(parts) == 3


def test_tensors_lie_in_the_parts_as_if_these_were_one_file(parts: list[Path], tiny_model: Path) -> None:
    def content(raw: bytes, path: Path) -> dict[str, bytes]:
        header = read_header(path)
        return {
            one.name: raw[(at := header.data_start + one.offset) : at + one.size_bytes]
            for one in header.tensors
        }

    joined = b"".join(part.read_bytes() for part in parts)
    assert content(joined, parts[0]) == content(tiny_model.read_bytes(), tiny_model)
    sizes = [part.stat().st_size for part in parts]
    wanted = [(5, 10), (sizes[0] - 3, sizes[0] + sizes[1] + 7)]
    assert list(ranges_of_parts(parts[1], wanted)) == [
        (parts[0], [(5, 10), (sizes[0] - 3, sizes[0])]),
        (parts[1], [(0, sizes[1])]),
        (parts[2], [(0, 7)]),
    ]


def test_the_key_and_the_fingerprint_are_those_of_all_parts(parts: list[Path]) -> None:
    def known() -> tuple[object, str]:
        engine, spec = LlamaEngine(), ModelSpec(reference="tiny", path=parts[1])
        return engine.key(spec), fingerprint(parts[1], kv_type="f16", build="1")

    first = known()
    assert known() == first and first == (
        LlamaEngine().key(ModelSpec(reference="tiny", path=parts[0])),
        fingerprint(parts[0], kv_type="f16", build="1"),
    )
    os.utime(parts[2], ns=(1, 1))
    key, name = known()
    assert key != first[0] and name != first[1]


def test_parts_that_are_links_are_found_by_their_names(parts: list[Path], tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for number, part in enumerate(parts):
        shutil.move(part, blobs / f"blob{number}")
        (snapshot / part.name).symlink_to(blobs / f"blob{number}")
    named = snapshot / parts[2].name
    key = LlamaEngine().key(ModelSpec(reference="tiny", path=named))
    assert key.path == snapshot / parts[0].name
    with open_template(named) as template:
        assert template.tokens([Message(role="user", content="hello")])


async def test_a_model_in_parts_answers_as_the_whole_one(parts: list[Path], tiny_model: Path) -> None:
    assert await answer(parts[0]) == await answer(tiny_model) != ""


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_part_is_named(parts: list[Path], missing: int) -> None:
    parts[missing].unlink()
    with pytest.raises(ModelNotFoundError, match=f"{parts[missing].name} is not beside it"):
        read_header(parts[(missing + 1) % 3])


def test_parts_with_other_names_are_refused_with_what_to_do(parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="names they were published with"):
        read_header(parts[0].rename(tmp_path / "other.gguf"))


def test_parts_in_the_wrong_order_and_a_damaged_one_are_named(parts: list[Path], tmp_path: Path) -> None:
    whole = parts[1].read_bytes()
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(ModelFileError, match=r"00002-of-00003\.gguf is damaged.*but its header says part 3"):
        read_header(parts[0])
    parts[1].write_bytes(whole[:-5000])
    with pytest.raises(ModelFileError, match=r"00002-of-00003\.gguf is truncated"):
        read_header(parts[0])


@given(st.text(st.characters(exclude_characters="\0/"), max_size=20), st.integers(1, 99), st.integers(1, 99))
def test_every_part_leads_to_the_first(name: str, number: int, count: int) -> None:
    part = f"{name}-{number:05}-of-{count:05}.gguf"
    if number <= count:
        assert first_name(part) == f"{name}-00001-of-{count:05}.gguf"
        assert len(part_names(part)) == count and part in part_names(part)
        assert {first_name(one) for one in part_names(part)} == {first_name(part)}
    else:
        assert first_name(part) == part and part_names(part) == (part,)
