"""A step of a peer's durable run on SQLite: `journal_peers.py NAME COUNT`, in the peers' own environment.

Above: `journal.py`. Each step keeps a text of 1.5 kB before the next begins. Prints one line of JSON.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

TEXT = "x" * 1_500


def langgraph(count: int) -> list[float]:
    """LangGraph with its SQLite saver; each step is kept before the next one."""
    from typing import TypedDict

    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, StateGraph

    class Kept(TypedDict):
        number: int
        text: str

    times: list[float] = []

    def step(state: Kept) -> dict[str, Any]:
        times.append(time.perf_counter())
        return {"number": state["number"] + 1, "text": TEXT}

    graph = StateGraph(Kept)
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: END if state["number"] >= count else "step")
    connection = sqlite3.connect("langgraph.db", check_same_thread=False)
    compiled = graph.compile(checkpointer=SqliteSaver(connection))
    compiled.invoke(
        {"number": 0, "text": ""},
        {"configurable": {"thread_id": "1"}, "recursion_limit": count + 10},
        durability="sync",
    )
    return times


def dbos(count: int) -> list[float]:
    """DBOS with its system tables in SQLite."""
    from dbos import DBOS

    DBOS(config={"name": "bench", "system_database_url": "sqlite:///dbos.db", "log_level": "ERROR"})
    times: list[float] = []

    @DBOS.step()  # type: ignore[untyped-decorator, unused-ignore]
    def step(number: int) -> str:
        times.append(time.perf_counter())
        return f"{number} {TEXT}"

    @DBOS.workflow()  # type: ignore[untyped-decorator, unused-ignore]
    def flow() -> None:
        for number in range(count):
            step(number)

    DBOS.launch()
    flow()
    DBOS.destroy()
    return times


def main() -> None:
    members: dict[str, Callable[[int], list[float]]] = {"langgraph": langgraph, "dbos": dbos}
    times = members[sys.argv[1]](int(sys.argv[2]))
    taken = [1000 * (after - before) for before, after in pairwise(times)]
    print(json.dumps({"median_ms": statistics.median(taken)}))


if __name__ == "__main__":
    main()
