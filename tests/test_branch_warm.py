"""A run that branches costs the tokens that nothing before it began with, also in a new process."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.branching import LOST_TOKENS, tails

from samovar.app import open_app, open_library
from samovar.config import load_settings
from samovar.generation import Message, TokenCounts
from samovar.journal.base import RunOrigin
from samovar.journal.sqlite import SqliteJournal
from samovar.preflight.prepare import prepare
from samovar.running.keeping import Keeping
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from tests.on_tiny import loaded

pytestmark = pytest.mark.anyio
STEPS, CHANGED, VARIANTS = 6, 4, 4


def write(folder: Path) -> Path:
    names = [f"S{number}" for number in range(1, STEPS + 1)]
    edges = zip(["[*]", *names], [*names, "[*]"], strict=True)
    arrows = "\n".join(f"{one} --> {other}" for one, other in edges)
    lines = []
    for number in range(1, STEPS + 1):
        before = f"${{a{number - 1}}}" if number > 1 else ""
        asked = 'Execute prompt "changed"' if number == CHANGED else f'Prompt "step {number} {before}"'
        lines.append(f'- S{number}: {asked} result="a{number}" using max_tokens=4')
    (folder / "prompts").mkdir()
    (folder / "prompts" / "changed.md").write_text("as it was", encoding="utf-8")
    path = folder / "w.md"
    path.write_text(
        '---\nsystem: "You answer all questions in a few letters, and you never ask back."\n---\n'
        f"```mermaid\nstateDiagram-v2\n{arrows}\n```\n\n## Actions\n\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )
    return path


class World:
    """A folder with one workflow, a journal, and copies of a tiny model's states on disk."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.path, self.folder = write(folder), folder
        self.settings = load_settings(
            {"model": str(model), "cache_folder": folder / "cache", "snapshots_bytes": "100MB"}
        )
        self.journal = SqliteJournal(folder / "j.db")

    async def process(self, origin: RunOrigin | None = None) -> Run:
        """One run with everything opened anew, as in a process of its own."""
        library = open_library(self.folder)
        workflow = library.workflow(str(self.path))
        if origin is not None:
            library.replace_prompts(origin.prompts, workflow)
        keeping = Keeping(journal=self.journal, origin=origin)
        run = RunnerSettings(settings=self.settings, folder=self.folder, keeping=keeping, trusts=True)
        async with open_app(self.settings, library) as app:
            prepared = prepare(str(self.path), {}, library, self.settings, run)
            return await Runner(library, app.executor, settings=run).run(prepared)

    def asked(self, run: Run) -> list[tuple[Message, ...]]:
        kept = [one.outcome for one in self.journal.visits(run.id)]
        done = [one for one in kept if one is not None and one.origin is None]
        return [exchange.messages for one in done for exchange in one.exchanges]


def tokens_of(run: Run) -> TokenCounts:
    figures = [visit.figures for visit in run.visits if visit.figures is not None]
    return sum((one.tokens for one in figures), TokenCounts())


async def test_variants_of_a_step_evaluate_their_tails(tiny_model: Path, tmp_path: Path) -> None:
    world = World(tmp_path, tiny_model)
    first = await world.process()
    await world.process()  # what was asked for twice is on disk
    at = next(
        one.intent.key for one in world.journal.visits(first.id) if one.intent.key.path == f"S{CHANGED}"
    )
    runs = [
        await world.process(RunOrigin(run=first.id, at=at, prompts={"changed": f"variant {number} of it"}))
        for number in range(VARIANTS)
    ]
    async with loaded(tiny_model) as model:
        asked = {
            run.id: [model._template.tokens(list(one)) for one in world.asked(run)] for run in (first, *runs)
        }
    prompts = [one for run in runs for one in asked[run.id]]
    least, kept = (tails(asked[first.id], prompts, askers=askers) for askers in (1, 2))
    whole = sum(len(one) for one in prompts)
    evaluated = sum(tokens_of(run).evaluated for run in runs)
    assert all(len(asked[run.id]) == STEPS - CHANGED + 1 for run in runs)
    # What one prompt began with is not on disk; nor is, of each beginning, less than a block and a copy.
    assert least <= evaluated <= kept + LOST_TOKENS * len(prompts) < whole / 2
    world.journal.close()
