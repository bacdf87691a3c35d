"""The table of answers in progress: what another process needs to go on in the middle of one.

Above: `sqlite_run.py`, `sqlite_opened.py`. Below: SQLite. There is one row for each prompt of a visit that
has not ended, which is written over while its answer grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samovar.generation import Begun
from samovar.journal.codec import from_json, to_json
from samovar.journal.visit_parts import VisitKey

TABLE = """
CREATE TABLE begun (
    run         INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
    path        TEXT NOT NULL,     -- of the visit that asks, with line and nth as in visit
    line        TEXT NOT NULL,
    nth         INTEGER NOT NULL,
    prompt      INTEGER NOT NULL,  -- which of the visit's prompts, from 1
    answer      TEXT NOT NULL,     -- so much of it as there is, as codec.py writes it
    PRIMARY KEY (run, path, line, nth, prompt)
);
"""


def put(connection: Any, run: int, key: VisitKey, prompt: int, begun: Begun) -> None:
    """In place of what there was of the same answer."""
    connection.execute(
        "INSERT INTO begun (run, path, line, nth, prompt, answer) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET answer = excluded.answer",
        (run, key.path, key.line, key.nth, prompt, to_json(begun)),
    )


def drop(connection: Any, run: int, key: VisitKey) -> None:
    """The visit has ended."""
    connection.execute(
        "DELETE FROM begun WHERE run = ? AND path = ? AND line = ? AND nth = ?",
        (run, key.path, key.line, key.nth),
    )


def drop_all(connection: Any, run: int) -> None:
    """The run is over, and cannot continue."""
    connection.execute("DELETE FROM begun WHERE run = ?", (run,))


def begun_of(connection: Any, run: int) -> Mapping[VisitKey, tuple[Begun, ...]]:
    """By visit, its answers in progress, in the order of its prompts."""
    found: dict[VisitKey, tuple[Begun, ...]] = {}
    rows = connection.execute(
        "SELECT path, line, nth, answer FROM begun WHERE run = ? ORDER BY prompt", (run,)
    )
    for path, line, nth, answer in rows:
        key = VisitKey(path=path, line=line, nth=nth)
        found[key] = (*found.get(key, ()), from_json(answer))
    return found
