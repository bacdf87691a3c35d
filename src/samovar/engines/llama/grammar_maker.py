"""Makes the grammars of one model, and begins with it before the model's load if that is wanted.

Above: `guidance.py`, which has them made; `loading.py`, which begins. Below: `grammars.py`, `token_table.py`,
`counting.py`, which opens a file for its vocabulary only. A load leaves a core idle for most of the time; the
evaluation of a prompt leaves none.
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
        self._begun: Future[tuple[TokenTable, Grammars]] | None = None
        self._name = ""
        """What the model's table is kept as; empty while that is not known."""

    def begin(self) -> None:
        """Begins with the file alone, in a thread."""
        assert self._path is not None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="samovar forms")
        self._begun = self._thread.submit(self._make_early, self._path)

    @property
    def is_done(self) -> bool:
        """Whether what was begun is there."""
        return self._begun is not None and self._begun.done()

    def make(self, vocabulary: Vocabulary, end: int, marks: Collection[int]) -> Grammars:
        """The grammars of a loaded vocabulary: those that were begun, if they fit it. Blocks.

        `end`: ends an answer; a negative number if there is none. `marks`: the control tokens of calls.
        """
        table, grammars = self._early(vocabulary, end, frozenset(marks)) or (None, None)
        if table is None or grammars is None:
            table = TokenTable.of(vocabulary, end, marks)
            grammars = Grammars(self._binding, table, can_spell=True)
            self._keep(table)
        without = table.marks.union(vocabulary.ends)
        grammars.spell = TokenSpelling(vocabulary, without, max(table.lengths, default=1))
        return grammars

    def _early(
        self, vocabulary: Vocabulary, end: int, marks: frozenset[int]
    ) -> tuple[TokenTable, Grammars] | None:
        """What was begun; None if nothing was, if it failed, or if it is of another vocabulary."""
        begun, self._begun = self._begun, None
        if begun is None:
            return None
        try:
            table, grammars = begun.result()
        except (SamovarError, OSError, CancelledError) as error:  # made again, it says why to whoever asks
            log.info("The tables of forms could not be made beside the load: %s", error)
            return None
        is_fitting = len(table.lengths) == vocabulary.size and table.end == end and table.marks == marks
        return (table, grammars) if is_fitting else None

    def _make_early(self, path: Path) -> tuple[TokenTable, Grammars]:
        with suppress(OSError):
            self._name = fingerprint(path, kv_type="", build=WHEEL_VERSION)
        table = self._kept.read(self._name) if self._kept is not None and self._name else None
        if table is not None:
            with suppress(SamovarError):  # nothing that the engine takes
                return table, Grammars(self._binding, table, can_spell=True)
        with open_template(path) as template:
            table = TokenTable.of(template.vocabulary, template.end(), template.calling.tokens)
        self._keep(table)
        return table, Grammars(self._binding, table, can_spell=True)

    def _keep(self, table: TokenTable) -> None:
        if self._kept is not None and self._path is not None:
            with suppress(OSError):
                self._name = self._name or fingerprint(self._path, kv_type="", build=WHEEL_VERSION)
                self._kept.keep(self._name, table)

    def close(self) -> None:
        """Waits for what was begun, and lets it go. Safe to call twice."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._begun = None
