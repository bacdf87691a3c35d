"""What is done for each item of a list: what an item costs, and prompts for many items at once.

    python -m benchmarks.for_each [--rounds 3] [--items 10000] [--tokens 24] [--out FOLDER]

What an item of a composite takes that only sets a variable, in CPU time and memory, for lists of two sizes;
then 48 prompts behind one prefix, with 1, 2, 4 and 8 of them at once and on the engine wheel's own server
object, what the engine's own calls take of that, which nothing around them can make shorter, and what one
decode takes with this many rows. The shorter the answers (`--tokens`), the more the prefix counts, which the
server evaluates in each slot. Each round is a process of its own; the kinds take turns.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import anyio

from benchmarks.contenders import make_server
from benchmarks.results import save, spread
from benchmarks.rounds import default_model, machine
from benchmarks.work import Clock, Measured
from samovar.actions import parse_action
from samovar.app import open_app, open_scripted
from samovar.config import load_settings
from samovar.engines.llama.context import Context
from samovar.engines.llama.counting import open_template
from samovar.events import Ending
from samovar.generation import Message
from samovar.language.reading import parse_workflow
from samovar.library import Library
from samovar.preflight.prepare import prepare
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner

PROMPTS, AT_ONCE, SLOTS = 48, (1, 2, 4, 8), 4
RULE = "You read notes about a program that is used by many people, and say what each of them is about. "
PREFIX = RULE * 30
"""Some 600 tokens that all prompts begin with."""
SET_ONLY = """```mermaid
stateDiagram-v2
    [*] --> Each
    state Each {
        [*] --> Write
        Write --> [*]
    }
    Each --> [*]
```

## Actions

- Each: For each x in range(COUNT) collect="row" result="rows"
- Write: Set row := x * 10
"""
HELLO = "Hello."
WARM_UP = """```mermaid
stateDiagram-v2
    [*] --> Ask
    Ask --> [*]
```

## Actions

- Ask: Prompt "HELLO" using max_tokens=1
""".replace("HELLO", HELLO)
ASKING = """```mermaid
stateDiagram-v2
    [*] --> Ask
    Ask --> [*]
```

## Actions

- Ask: Execute prompt "ask" for each note in notes result="said" at_once=AT_ONCE using max_tokens=MAX_TOKENS

## Prompts

### ask

PREFIX
Note: {{ note }}
"""


def notes() -> list[str]:
    """One short text for each prompt, no two alike in their first words."""
    return [f"{number} people have said that button {number * 7} does nothing." for number in range(PROMPTS)]


class InCalls:
    """How long the engine's calls take that evaluate and decode."""

    def __init__(self) -> None:
        self.taken_s = 0.0
        decode = Context.decode

        def timed(context: Context, batch: Any) -> int:
            began = time.perf_counter()
            try:
                return decode(context, batch)
            finally:
                self.taken_s += time.perf_counter() - began

        setattr(Context, "decode", timed)  # noqa: B010


async def run_of(text: str, **variables: object) -> tuple[Run, Measured]:
    """One run of a workflow on the default model, which is loaded before; nothing of the work was seen."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.md"
        path.write_text(text, encoding="utf-8")
        settings = load_settings({"model": str(default_model()), "cache_folder": folder})
        async with open_app(settings) as app:
            warm_up = Path(folder) / "warm.md"
            warm_up.write_text(WARM_UP, encoding="utf-8")
            calls, before_s = InCalls(), 0.0
            for file, given in ((warm_up, {}), (path, variables)):
                before_s = calls.taken_s
                prepared = prepare(str(file), given, app.library, app.settings)
                clock = Clock()
                run = await Runner(app.library, app.executor).run(prepared)
            said = run.variables.get("said")
            measured = clock.measured(
                evaluated_tokens=run.tokens.evaluated,
                generated_tokens=run.tokens.generated,
                answers=[str(one) for one in said] if isinstance(said, list) else [],
            )
            measured = replace(measured, calls_s=calls.taken_s - before_s)
            engine = app.pool.statistics().models[0].statistics
            if engine is None or not engine.decode_tokens_per_s:
                return run, measured
            tokens = run.tokens.generated - PROMPTS  # the first of each is of its prompt's logits
            return run, replace(measured, decode_s=tokens / engine.decode_tokens_per_s, decode_tokens=tokens)


def asked(at_once: int, max_tokens: int) -> Measured:
    """The prompts as items of a list, so many of them at once."""
    text = ASKING.replace("PREFIX", PREFIX).replace("MAX_TOKENS", str(max_tokens))

    async def ask() -> Measured:
        run, measured = await run_of(text.replace("AT_ONCE", str(at_once)), notes=notes())
        assert run.ending is Ending.COMPLETED, run.error
        return measured

    return anyio.run(ask)


def on_server(max_tokens: int) -> Measured:
    """The same prompts on the engine wheel's server object, with as many callers as it has slots."""
    server = make_server(default_model(), SLOTS)

    def ask(note: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt_of(note)}]
        chat = {"messages": messages, "max_tokens": max_tokens, "temperature": 0, "cache_prompt": True}
        reply: dict[str, Any] = server.handle_chat_completions(chat)
        assert "choices" in reply, reply
        return reply

    hello = [{"role": "user", "content": HELLO}]
    server.handle_chat_completions({"messages": hello, "max_tokens": 1, "temperature": 0})
    with ThreadPoolExecutor(SLOTS) as pool:
        clock = Clock()
        replies = list(pool.map(ask, notes()))
        return clock.measured(
            evaluated_tokens=sum(reply["timings"]["prompt_n"] for reply in replies),
            generated_tokens=sum(reply["usage"]["completion_tokens"] for reply in replies),
            answers=[reply["choices"][0]["message"]["content"] for reply in replies],
        )


def prompt_of(note: str) -> str:
    """What a model is sent for one note."""
    return f"{PREFIX}\nNote: {note}"


def distinct_tokens() -> int:
    """Of all prompts, what several begin with counted once, and what the warm-up begins with not."""
    with open_template(default_model()) as template:

        def beginnings(said: str) -> set[tuple[int, ...]]:
            tokens = template.tokens([Message(role="user", content=said)])
            return {tuple(tokens[:end]) for end in range(1, len(tokens) + 1)}

        known = beginnings(HELLO)
        return len(set().union(*(beginnings(prompt_of(note)) for note in notes())) - known)


def set_only(items: int) -> tuple[float, float]:
    """CPU milliseconds of each item, and bytes of each that are held at the end but for the results."""
    text = f"---\nlimits: {{items: {items}}}\n---\n" + SET_ONLY.replace("COUNT", str(items))
    workflow = parse_workflow(text, name="w", path=None, parse_action=parse_action)
    prepared = Prepared(workflow=workflow, variables={})

    async def run() -> tuple[float, Run]:
        async with open_scripted(lambda messages: "") as executor:
            began = time.process_time()
            done = await Runner(Library([], parse_action), executor).run(prepared)
            return time.process_time() - began, done

    took_s, _ = anyio.run(run)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    _, done = anyio.run(run)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = done.variables["rows"]
    assert isinstance(rows, list)
    results = sys.getsizeof(rows) + sum(map(sys.getsizeof, rows))
    return took_s / items * 1e3, (after - before - results) / items


def one_round(kind: str, max_tokens: int) -> Measured:
    """One round of prompts in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.for_each", "--one", kind]
    command += ["--tokens", str(max_tokens)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=24, help="at most so many in an answer")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one is not None:
        measured = on_server(given.tokens) if given.one == "server" else asked(int(given.one), given.tokens)
        print(json.dumps(asdict(measured)))
        return
    costs = {count: set_only(count) for count in (given.items // 10, given.items)}
    rows = [
        [
            f"one of {count} items that set a variable",
            f"{each_ms:.3f} ms, {held_bytes:.0f} bytes of the record",
        ]
        for count, (each_ms, held_bytes) in costs.items()
    ]
    kinds = [*map(str, AT_ONCE), "server"]
    found: dict[str, list[Measured]] = {kind: [] for kind in kinds}
    for number in range(given.rounds):
        for kind in kinds if number % 2 == 0 else reversed(kinds):
            found[kind].append(one_round(kind, given.tokens))
    rows += rows_of(found, distinct_tokens())
    for what, figure in rows:
        print(f"{what}: {figure}")
    if given.out is not None:
        save(
            given.out, "for_each", {**machine(), "rounds": given.rounds, "tokens": given.tokens, "rows": rows}
        )


def rows_of(found: dict[str, list[Measured]], distinct: int) -> list[list[str]]:
    """What the rounds of prompts came to, by kind."""
    rows: list[list[str]] = []
    for kind, rounds in found.items():
        name = f"server object, {SLOTS} slots" if kind == "server" else f"at_once={kind}"
        over = spread([one.wall_s / mine.wall_s for one, mine in zip(found["1"], rounds, strict=True)])
        wall, evaluated = spread([one.wall_s for one in rounds]), rounds[0].evaluated_tokens
        said = f"{wall} s, {over} times as fast as one at a time; {evaluated} tokens evaluated"
        rows.append([f"{PROMPTS} prompts, {name}", f"{said}, of {distinct} distinct ones"])
    for kind in map(str, AT_ONCE):
        pairs = list(zip(found[kind], found["server"], strict=True))
        share = spread([(mine.calls_s or 0) / mine.wall_s for mine, _ in pairs])
        most = spread([server.wall_s / (mine.calls_s or mine.wall_s) for mine, server in pairs])
        what = f"{PROMPTS} prompts, at_once={kind}, the engine's own calls"
        rows.append([what, f"{share.median:.1%} of the time; the server object takes {most} times as long"])
    for count in AT_ONCE:
        known = [one for one in found[str(count)] if one.decode_tokens]
        if not known:  # answers of one token, which are of their prompts' logits
            continue
        each = spread([1e3 * (one.decode_s or 0) / (one.decode_tokens or 1) * count for one in known])
        rows.append([f"a decode with {count} rows", f"{each} ms, {each.median / count:.3g} ms a row"])
    return rows


if __name__ == "__main__":
    main()
