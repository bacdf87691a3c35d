"""Makes the grammars of one model, and begins before its load if that is wanted and its tokens were kept.

Above: `guidance.py`, which has them made; `loading.py`, which begins. Below: `grammars.py`, `token_table.py`.
A load leaves a core idle for most of the time, and the evaluation of a prompt leaves none. Without a table
that was kept nothing is begun: reading a vocabulary twice takes longer than making the tables after the load.
A model that is fetched has its table kept then.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from samovar.engines.llama.binding import Binding
from samovar.engines.llama.counting import open_template
from samovar.engines.llama.declarations import WHEEL_VERSION
from samovar.engines.llama.grammars import Grammars
from samovar.engines.llama.spelling import TokenSpelling
from samovar.engines.llama.token_table import KeptTables, TokenTable
from samovar.engines.llama.vocabulary import Vocabulary
from samovar.errors import SamovarError
from samovar.models.snapshot_file import fingerprint

log = logging.getLogger("samovar.engine")


class GrammarMaker:
    """Makes grammars once, in `make`. Mutable: what was begun before."""

    def __init__(self, binding: Binding, path: Path | None = None, kept: KeptTables | None = None) -> None:
        """`path`: the model's file. `kept`: where tables are kept for other processes; None: nowhere."""
        self._binding, self._path, self._kept = binding, path, kept
        self._thread: ThreadPoolExecutor | None = None
        self._begun: Future[_Made | None] | None = None

    def begin(self) -> None:
        """Begins in a thread, with the table that was kept of the model's file; if there is none, nothing."""
        if self._path is not None and self._kept is not None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="samovar forms")
            self._begun = self._thread.submit(self._make_of_kept, self._kept, self._path)

    def make(self, vocabulary: Vocabulary, end: int, marks: Collection[int]) -> Grammars:
        """The grammars of a loaded vocabulary: those that were begun, if they fit it. Blocks.

        `end`: ends an answer; a negative number if there is none. `marks`: the control tokens of calls.
        """
        made = self._taken()
        if made is None or not _fits(made[0], vocabulary, end, marks):
            table = TokenTable.of(vocabulary, end, marks)
            made = table, Grammars(self._binding, table, can_spell=True)
            self._keep(table)
        table, grammars = made
        without = table.marks.union(vocabulary.ends)
        grammars.spell = TokenSpelling(vocabulary, without, max(table.lengths, default=1))
        return grammars

    def _taken(self) -> _Made | None:
        """What was begun; None if nothing was, or if it failed."""
        begun, self._begun = self._begun, None
        try:
            return None if begun is None else begun.result()
        except (SamovarError, OSError, CancelledError) as error:  # then they are made of the vocabulary
            log.info("The tables of forms could not be made beside the load: %s", error)
            return None

    def _make_of_kept(self, kept: KeptTables, path: Path) -> _Made | None:
        table = kept.read(_name_of(path))
        return None if table is None else (table, Grammars(self._binding, table, can_spell=True))

    def _keep(self, table: TokenTable) -> None:
        if self._kept is not None and self._path is not None:
            with suppress(OSError):
                self._kept.keep(_name_of(self._path), table)

    def close(self) -> None:
        """Waits for what was begun, and lets it go. Safe to call twice."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._begun = None


_Made = tuple[TokenTable, Grammars]


def _fits(table: TokenTable, vocabulary: Vocabulary, end: int, marks: Collection[int]) -> bool:
    """Whether a table that was kept is of this vocabulary."""
    return len(table.lengths) == vocabulary.size and table.end == end and table.marks == frozenset(marks)


def keep_table(path: Path, folder: Path) -> None:
    """Keeps the table of a model that was just fetched, so that its first load begins with it. Blocks.

    A model of which there can be none, such as one for embeddings, has none; nothing fails.
    """
    try:
        with open_template(path) as template:
            table = TokenTable.of(template.vocabulary, template.end(), template.calling.tokens)
        KeptTables(folder).keep(_name_of(path), table)
    except (SamovarError, OSError) as error:  # its first load makes it
        log.info("The table of the tokens of %s could not be made: %s", path, error)


def _name_of(path: Path) -> str:
    """What the table of a model's file is kept as. Raises `OSError`."""
    return fingerprint(path, kv_type="", build=WHEEL_VERSION)
