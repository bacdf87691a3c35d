"""What forms need of a vocabulary: begun before the load, made once, kept between processes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.engines.base import ModelSpec, OnLoadProgress
from samovar.engines.llama.binding import open_binding
from samovar.engines.llama.counting import open_template
from samovar.engines.llama.engine import LlamaEngine
from samovar.engines.llama.grammar_maker import GrammarMaker, _name_of, keep_table
from samovar.engines.llama.grammars import Grammars
from samovar.engines.llama.loading import ModelLoad
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.token_table import MOST_KEPT, KeptTables, TokenTable
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.engines.scripted import ScriptedEngine, ScriptedModel
from samovar.errors import UsageError
from samovar.generation import Form, Message, Options, Sampling, TextGenerated
from samovar.models.cost import Cost
from samovar.serving.pool import Pool
from samovar.serving.session import Sessions
from tests.on_tiny import spec_of

pytestmark = pytest.mark.anyio

FORM = Options(
    schema=json.dumps({"enum": ["yes", "no", "perhaps"]}), sampling=Sampling(temperature=1.0, seed=3)
)
FORMS_THREAD = "samovar forms"


class Counts:
    """How often grammars and tables were made, and what had begun before the weights."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.grammars = self.tables = 0
        self.began_before_weights: list[bool] = []
        made, table, weights = Grammars.__init__, TokenTable.of, ModelLoad._load_weights

        def makes(grammars: Grammars, *args: object, **named: object) -> None:
            self.grammars += 1
            made(grammars, *args, **named)  # type: ignore[arg-type]

        def makes_table(vocabulary: Vocabulary, end: int, marks: Collection[int]) -> TokenTable:
            self.tables += 1
            return table(vocabulary, end, marks)

        def loads(load: ModelLoad) -> None:
            self.began_before_weights.append(load._grammars._begun is not None)
            weights(load)

        monkeypatch.setattr(Grammars, "__init__", makes)
        monkeypatch.setattr(TokenTable, "of", makes_table)
        monkeypatch.setattr(ModelLoad, "_load_weights", loads)


@asynccontextmanager
async def loaded(
    path: Path, tables: KeptTables | None, *, holds_forms: bool = True
) -> AsyncIterator[LlamaModel]:
    engine, spec = LlamaEngine(tables=tables), replace(spec_of(path), holds_forms=holds_forms)
    with anyio.fail_after(60):
        model = await engine.load(spec, engine.predict(spec), lambda fraction: None)
        assert isinstance(model, LlamaModel)
        try:
            yield model
            model.check()
        finally:
            await model.close()
            engine.close()


async def answer(model: LlamaModel, options: Options = FORM) -> str:
    said = ""
    async with model.generate([Message(role="user", content="x")], options) as events:
        async for event in events:
            said += event.piece if isinstance(event, TextGenerated) else ""
    return said


def forms_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(FORMS_THREAD)]


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


async def test_what_forms_need_is_begun_before_the_weights_and_made_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with loaded(tiny_model, None, holds_forms=False) as model:
        late = await answer(model)  # and the engine's tables for checks of forms are there
    counts = Counts(monkeypatch)
    async with loaded(tiny_model, KeptTables(tmp_path / "tokens")) as model:
        answers = [await answer(model) for _ in range(3)]
        await answer(model, Options(regex="[a-c]{3}"))
    assert (counts.grammars, counts.tables) == (1, 1)
    assert answers == [late] * 3
    async with loaded(tiny_model, KeptTables(tmp_path / "tokens")) as model:
        assert await answer(model) == late
    assert (counts.grammars, counts.tables) == (2, 1), "a kept table is not made again"
    assert counts.began_before_weights == [True, True]
    assert not forms_threads()


async def test_a_load_for_other_answers_makes_nothing_of_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts(monkeypatch)
    folder = tmp_path / "tokens"
    async with loaded(tiny_model, KeptTables(folder), holds_forms=False) as model:
        await answer(model, Options(max_tokens=3))
        assert (counts.grammars, counts.tables, files_of(folder)) == (0, 0, [])
        assert json.loads(await answer(model)) in ("yes", "no", "perhaps")
        assert (counts.tables, len(files_of(folder))) == (1, 1), "made of the loaded vocabulary, and kept"
    assert counts.began_before_weights == [False]


async def test_what_forms_need_is_made_behind_a_load_for_a_form_before_any_is_asked_for(
    tiny_model: Path,
) -> None:
    form = Form(kind="regex", text="a")
    async with loaded(tiny_model, None, holds_forms=False) as model:
        assert not model._guidance.is_ready(form)
    async with loaded(tiny_model, None) as model:
        model._guidance.begin(None).result(30)  # comes behind what was begun with the load
        assert model._guidance.is_ready(form)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[: len(raw) // 2],
    "a bit": lambda raw: raw[:100] + bytes([raw[100] ^ 1]) + raw[101:],
    "longer": lambda raw: raw + b"\0",
    "another file": lambda raw: b"not a table at all, and longer than its header",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_table_is_made_again(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = tmp_path / "tokens"
    async with loaded(tiny_model, KeptTables(folder)) as model:
        said = await answer(model)
    [file] = files_of(folder)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    counts = Counts(monkeypatch)
    async with loaded(tiny_model, KeptTables(folder)) as model:
        assert await answer(model) == said
    assert counts.tables == 1 and file.read_bytes() == whole


async def test_a_table_of_another_vocabulary_is_not_used(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    async with loaded(tiny_model, KeptTables(folder)) as model:
        said = await answer(model)
    [file] = files_of(folder)
    whole = file.read_bytes()
    table = TokenTable.from_bytes(whole)
    assert table is not None
    shorter = TokenTable.of_pieces([b"a", b"b"], 1)
    for other in (shorter, replace(table, end=table.end - 1), replace(table, marks=frozenset({1}))):
        file.write_bytes(other.to_bytes())
        async with loaded(tiny_model, KeptTables(folder)) as model:
            assert await answer(model) == said
        assert file.read_bytes() == whole


async def test_a_folder_in_which_others_may_write_is_not_read(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tokens"
    async with loaded(tiny_model, KeptTables(folder)) as model:
        said = await answer(model)
    assert os.stat(folder).st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    counts = Counts(monkeypatch)
    async with loaded(tiny_model, KeptTables(folder)) as model:
        assert await answer(model) == said
    assert counts.tables == 1


async def test_a_folder_that_cannot_be_written_costs_only_the_table(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    async with loaded(tiny_model, KeptTables(file / "tokens")) as model:
        assert json.loads(await answer(model)) in ("yes", "no", "perhaps")


async def test_a_load_that_fails_or_is_given_up_leaves_no_thread(tiny_model: Path, tmp_path: Path) -> None:
    def gives_up(fraction: float) -> None:
        raise UsageError("enough")

    kept = KeptTables(tmp_path / "tokens")
    kept.keep(_name_of(tiny_model), TokenTable.of_pieces([b"a"], 0))
    engine, spec = LlamaEngine(tables=kept), replace(spec_of(tiny_model), holds_forms=True)
    failed: list[UsageError] = []
    try:
        await engine.load(spec, engine.predict(spec), gives_up)
    except UsageError as error:  # with what it holds on to, nothing ends by itself
        failed.append(error)
    assert failed and not forms_threads()
    engine.close()
    async with loaded(tiny_model, None):
        pass
    assert not forms_threads()


class Telling(ScriptedEngine):
    """Keeps what it was asked to load."""

    def __init__(self) -> None:
        super().__init__(lambda messages: "yes")
        self.asked: list[bool] = []

    async def load(self, spec: ModelSpec, cost: Cost, on_progress: OnLoadProgress) -> ScriptedModel:
        self.asked.append(spec.holds_forms)
        return await super().load(spec, cost, on_progress)


@pytest.mark.parametrize(
    ("options", "holds_forms"), [(Options(), False), (FORM, True), (Options(choices=("yes", "no")), False)]
)
async def test_the_load_of_a_session_is_for_its_first_answer(options: Options, holds_forms: bool) -> None:
    engine = Telling()
    async with Pool(engine, budget_bytes=2**20) as pool:
        spec = ModelSpec(reference="m", path=Path("m"), context_tokens=1000)
        async with Sessions(pool).open(spec) as session:
            for one in (options, Options(), FORM):
                await session.ask([Message(role="user", content="x")], one)
    assert engine.asked == [holds_forms], "one load, whatever is asked later"


def test_the_folder_keeps_the_tables_used_last(tmp_path: Path) -> None:
    kept = KeptTables(tmp_path)
    tmp_path.chmod(0o700)
    for number in range(MOST_KEPT + 5):
        kept.keep(f"{number}", TokenTable.of_pieces([b"a"] * (number + 1), 0))
        os.utime(kept._path(f"{number}"), (number, number))
    assert len(files_of(tmp_path)) == MOST_KEPT
    assert kept.read("0") is None
    last = kept.read(f"{MOST_KEPT + 4}")
    assert last is not None and len(last.lengths) == MOST_KEPT + 5


def test_a_table_where_files_can_only_be_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*args: object, **named: object) -> None:
        raise PermissionError

    tmp_path.chmod(0o700)
    kept, table = KeptTables(tmp_path), TokenTable.of_pieces([b"a"], 0)
    kept.keep("one", table)
    for name in ("utime", "open"):
        monkeypatch.setattr(os, name, refuses)
    assert kept.read("one") == table


@given(
    pieces=st.lists(st.binary(max_size=6), min_size=1, max_size=40),
    end=st.integers(-1, 0),
    marks=st.frozensets(st.integers(0, 2**32 - 1), max_size=4),
    cut=st.integers(0, 400),
    flipped=st.integers(0, 7),
)
def test_a_table_is_read_as_it_was_written_or_not_at_all(
    pieces: list[bytes], end: int, marks: frozenset[int], cut: int, flipped: int
) -> None:
    table = TokenTable.of_pieces(pieces, end, marks)
    raw = table.to_bytes()
    assert TokenTable.from_bytes(raw) == table
    place = cut % len(raw)
    assert TokenTable.from_bytes(raw[:place]) is None
    changed = bytearray(raw)
    changed[place] ^= 1 << flipped
    assert TokenTable.from_bytes(bytes(changed)) is None


def test_a_maker_makes_them_of_the_vocabulary_if_the_file_is_gone(tiny_model: Path, tmp_path: Path) -> None:
    with open_template(tiny_model) as template:
        maker = GrammarMaker(open_binding(), tmp_path / "not there", KeptTables(tmp_path / "tokens"))
        maker.begin()
        grammars = maker.make(template.vocabulary, template.end(), template.calling.tokens)
        assert grammars.vocabulary_size == template.vocabulary.size
        maker.close()
        maker.close()


async def test_a_model_that_was_fetched_begins_its_first_answer_of_a_form_with_its_load(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_table(tiny_model, tmp_path / "tokens")
    counts = Counts(monkeypatch)
    async with loaded(tiny_model, KeptTables(tmp_path / "tokens")) as model:
        assert json.loads(await answer(model)) in ("yes", "no", "perhaps")
    assert (counts.tables, counts.grammars, counts.began_before_weights) == (0, 1, [True])


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\x00" * 4096])
def test_of_a_fetched_file_that_is_not_a_model_nothing_is_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    keep_table(tmp_path / "model.gguf", tmp_path / "tokens")
    assert not list(tmp_path.rglob("*.tokens"))
