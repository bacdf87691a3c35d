"""Where weights are held: the rules, what this machine's engine says of itself, and what is given back."""

from __future__ import annotations

import mmap
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from samovar.engines.base import ModelSpec
from samovar.engines.llama.binding import open_binding
from samovar.engines.llama.convert import convert
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.mapping import pages_of
from samovar.generation import Message, Options, TextGenerated
from samovar.models.cost import predict
from samovar.models.header import Header, read_header
from samovar.models.held_weights import EngineBuild, hold, this_build
from samovar.models.tensor_types import Tensor
from tests.tiny import Sizes, make_tiny

pytestmark = pytest.mark.anyio

AVX2 = EngineBuild(features=frozenset(["avx2"]), can_release=True)
NONE = EngineBuild(features=frozenset(), can_release=True)
APPLE = EngineBuild(features=frozenset(["neon", "dotprod"]), can_release=False)
Q4_0, Q8_0, Q4_K = 2, 8, 12


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Q4_0, two blocks."""
    folder = tmp_path_factory.mktemp("small")
    convert(make_tiny(folder / "f32.gguf", sizes=Sizes(width=256)), folder / "q4_0.gguf", "q4_0")
    return folder / "q4_0.gguf"


def with_tensors(header: Header, *tensors: tuple[str, tuple[int, ...], int]) -> Header:
    """The header with these (name, shape, type) instead, of 100 bytes each."""
    made = [
        Tensor(name=name, shape=shape, kind=kind, size_bytes=100, offset=100 * at)
        for at, (name, shape, kind) in enumerate(tensors)
    ]
    return replace(header, tensors=tuple(made))


def test_what_the_engine_says_of_its_build_is_what_is_known_of_the_wheel() -> None:
    assert open_binding().build() == this_build()


@pytest.mark.parametrize(
    ("name", "shape", "kind", "build", "private"),
    [
        ("blk.0.ffn_up.weight", (256, 128), Q4_0, AVX2, True),
        ("blk.0.ffn_up.weight", (256, 128), Q4_0, NONE, False),
        ("blk.0.ffn_up.weight", (256, 132), Q4_0, AVX2, False),  # 8 rows at once
        ("blk.0.ffn_up.weight", (256, 132), Q4_0, APPLE, True),  # 4 rows at once
        ("blk.0.ffn_up.weight", (256, 128), Q8_0, AVX2, False),
        ("blk.0.ffn_up.weight", (256, 128), Q8_0, APPLE, True),
        ("blk.0.ffn_up.weight", (256, 128), Q4_K, AVX2, True),
        ("blk.0.ffn_up.weight", (256, 128), 0, AVX2, False),
        ("blk.0.ffn_up_exps.weight", (256, 128, 4), Q4_0, AVX2, True),
        ("blk.0.attn_k_b.weight", (256, 128, 4), Q4_0, AVX2, False),
        ("blk.0.ffn_up.weight", (256, 128, 1), Q4_0, AVX2, True),
        ("token_embd.weight", (256, 128), Q4_0, AVX2, False),
        ("per_layer_token_embd.weight", (256, 128), Q4_0, AVX2, False),
        ("output.weight", (256, 128), Q4_0, AVX2, True),
    ],
)
def test_a_matrix_is_private_if_the_engine_repacks_it(
    name: str, shape: tuple[int, ...], kind: int, build: EngineBuild, private: bool, small: Path
) -> None:
    header = with_tensors(read_header(small), (name, shape, kind), ("output.weight", (1, 1), 0))
    header = replace(header, tensors=header.tensors[: 1 if name == "output.weight" else 2])
    held = hold(header, replace(build, can_release=True))
    rest_bytes = 100 * (len(header.tensors) - 1)
    assert (held.private_bytes, held.mapped_bytes) == (
        (100, rest_bytes) if private else (0, 100 + rest_bytes)
    )
    assert held.released == (((header.data_start, header.data_start + 100),) if private else ())
    assert hold(header, build, repack=False).private_bytes == 0


def test_embeddings_that_are_the_output_too_are_held_twice(small: Path) -> None:
    header = with_tensors(read_header(small), ("token_embd.weight", (256, 128), Q4_0))
    held = hold(header, AVX2)
    assert (held.mapped_bytes, held.private_bytes, held.released) == (100, 100, ())
    plain = hold(with_tensors(header, ("token_embd.weight", (256, 128), 0)), AVX2)
    assert (plain.mapped_bytes, plain.private_bytes) == (100, 0)


def test_where_nothing_can_be_given_back_all_of_such_a_file_is_private(small: Path) -> None:
    header = read_header(small)
    held = hold(header, APPLE)
    assert not held.is_mapped and held.mapped_bytes == 0 and held.released == ()
    assert held.private_bytes == header.tensor_bytes
    assert hold(header, APPLE, repack=False).mapped_bytes == header.tensor_bytes


def test_the_last_layers_go_to_devices_and_the_output_first(small: Path) -> None:
    header = with_tensors(
        read_header(small),
        ("token_embd.weight", (256, 128), 0),
        ("blk.0.ffn_up.weight", (256, 128), Q4_0),
        ("blk.1.ffn_up.weight", (256, 128), Q4_0),
        ("output.weight", (256, 128), Q4_0),
    )
    for gpu_layers, bytes_ in (
        (0, (100, 300, 0)),
        (1, (100, 200, 100)),
        (2, (100, 100, 200)),
        (9, (100, 0, 300)),
    ):
        held = hold(header, AVX2, gpu_layers=gpu_layers)
        assert (held.mapped_bytes, held.private_bytes, held.device_bytes) == bytes_


def test_an_encoder_has_no_output_that_its_embeddings_could_be(tmp_path: Path) -> None:
    for architecture, copies in (("bert", 0), ("llama", 1)):
        header = read_header(make_tiny(tmp_path / f"{architecture}.gguf", architecture))
        header = with_tensors(header, ("token_embd.weight", (256, 128), Q4_0))
        assert hold(header, AVX2).private_bytes == 100 * copies


def test_other_files_may_be_mapped_whatever_they_are_called(tmp_path: Path) -> None:
    page = mmap.PAGESIZE
    (file := tmp_path / "x.gguf").write_bytes(b"\0" * page)
    maps = tmp_path / "maps"
    odd = "".join(map(chr, (0x0B, 0x0C, 0x1C, 0x85, 0x2028)))
    maps.write_text(
        f"7e0000000000-7e000000{page:04x} r--p 00000000 00:00 7 /{odd}/y\nnot a mapping\n"
        f"7f0000000000-7f000000{page:04x} r--s 00000000 00:00 1 {file}\n"
    )
    assert list(pages_of(maps, file, [(0, page)])) == [(0x7F0000000000, page)]


def test_mapped_pages_are_found_by_the_file_and_only_whole_ones(tmp_path: Path) -> None:
    page = mmap.PAGESIZE
    file = tmp_path / "x.gguf"
    file.write_bytes(b"\0" * 10 * page)
    facts = file.stat()
    maps = tmp_path / "maps"
    maps.write_text(
        f"7f0000000000-7f000000{6 * page:04x} r--s {4 * page:08x} 00:00 1 {file}\n"
        f"7e0000000000-7e000000{2 * page:04x} rw-p 00000000 00:00 {facts.st_ino} {file}\n"
        f"7d0000000000-7d000000{2 * page:04x} r--p 00000000 00:00 2 {tmp_path / 'other'}\n"
    )
    assert list(
        pages_of(maps, file, [(0, page), (5 * page + 1, 8 * page + 1), (9 * page, 9 * page + 9)])
    ) == [(0x7F0000000000 + 2 * page, 2 * page)]
    assert list(pages_of(tmp_path / "none", file, [(0, page)])) == []


async def answer(engine: LlamaEngine, path: Path, *, repack: bool) -> tuple[str, bool]:
    """(a greedy text, whether the file is mapped while the model is loaded)"""
    spec = ModelSpec(reference="small", path=path, context_tokens=512, repack=repack)
    model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
    async with model.generate([Message(role="user", content="hi")], Options(max_tokens=8)) as events:
        pieces = [event.piece async for event in events if isinstance(event, TextGenerated)]
    is_mapped = str(path) in Path("/proc/self/maps").read_text(encoding="utf-8")
    await model.close()
    return "".join(pieces), is_mapped


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
async def test_a_model_answers_the_same_mapped_repacked_or_read_whole(small: Path) -> None:
    with anyio.fail_after(60):
        found = []
        for build, repack in ((AVX2, True), (AVX2, False), (replace(AVX2, can_release=False), True)):
            engine = LlamaEngine(build=build)
            found.append(await answer(engine, small, repack=repack))
            engine.close()
    assert [is_mapped for _, is_mapped in found] == [True, True, False]
    assert found[0][0] == found[2][0], "the same kernels"


async def test_what_fits_only_mapped_is_mapped_with_a_note(tmp_path: Path) -> None:
    sizes = Sizes(width=256, more_tokens=40_005)  # in all a multiple of 8
    source = make_tiny(tmp_path / "f32.gguf", "gemma2", sizes=sizes)
    convert(source, tmp_path / "x.gguf", "q4_0")
    header = read_header(tmp_path / "x.gguf")
    repacked, mapped = (
        predict(header, context_tokens=512, repack=repack, build=AVX2).total_bytes for repack in (True, False)
    )
    assert mapped < repacked
    spec = ModelSpec(reference="x", path=tmp_path / "x.gguf", context_tokens=512)
    engine = LlamaEngine(build=AVX2)
    assert engine.predict(spec, free_bytes=repacked).repack
    cost = engine.predict(spec, free_bytes=repacked - 1)
    assert not cost.repack and cost.total_bytes == mapped
    with anyio.fail_after(60):
        model = await engine.load(spec, cost, lambda fraction: None)
        assert [note for note in model.statistics().notes if "Repacking" in note]
        await model.close()
    engine.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
async def test_a_load_that_is_cancelled_beside_another_of_the_same_file_ends(small: Path) -> None:
    engine = LlamaEngine(build=AVX2)
    spec = ModelSpec(reference="small", path=small, context_tokens=512)
    cost = engine.predict(spec)
    loaded = []

    async def load() -> None:
        loaded.append(await engine.load(spec, cost, lambda fraction: None))

    with anyio.fail_after(60):
        for _ in range(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(load)
                with anyio.CancelScope() as scope:

                    def stop(fraction: float, scope: anyio.CancelScope = scope) -> None:
                        scope.cancel()

                    await engine.load(spec, cost, stop)
                assert scope.cancelled_caught
            await loaded.pop().close()
    assert str(small) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    engine.close()
