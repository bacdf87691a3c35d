"""The report at the end of a run, for a person.

Above: `run.py`. Below: `python/figures.py`, whose object it shows. A figure is measured, or it is not there.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from samovar.cli.generated_words import generated_words
from samovar.cli.showing import shown
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.executors.table import HERE, LOCAL
from samovar.memory import in_words

NARROW_COLUMNS = 60
"""Of a terminal, below which a table of the states would be cut."""
_STATUS = {"error": "failed", "refused": "refused", "invalid": "not done"}
MOST_ROWS = 40
"""States shown by name; of a longer run the last ones."""


def show_report(
    console: Console, report: dict[str, Any], *, width_of_names: int = 32, hint: str | None = None
) -> None:
    """The report for a person, from the object of `--json`. `hint`: a last line, for a person only."""
    status, style = report["status"], "green" if report["status"] == "completed" else "red"
    console.print()
    title = Text()
    title.append(report["workflow"], style="bold")
    title.append(f": {status}", style=style)
    title.append(f" in {lasting(report['duration_s'])}" if report["duration_s"] is not None else "")
    console.print(title)
    if "error" in report:
        console.print(Text(f"  {shown(error_line(report['error']))}", style="red"))
    states = without_items(report["states"])
    if console.width < NARROW_COLUMNS:
        _show_narrow(console, states)
    else:
        console.print(_states(states, width_of_names))
    for model in report["models"]:
        console.print(_model(model))
        for note in model["notes"]:
            console.print(Text(f"          {shown(note)}", style="yellow"))
    for executor in report["executors"]:
        if executor["kind"] != LOCAL or executor["where"] != HERE:
            console.print(_line("executor", shown(_executor(executor))))
    tokens, sessions, memory = report["tokens"], report["sessions"], report["memory"]
    restored = sum(model["restored_tokens"] for model in report["models"])
    reused = f"{tokens['reused']} reused" + (f" ({restored} from disk)" if restored else "")
    counts = f"{tokens['evaluated']} evaluated · {reused} · {generated_words(tokens)}"
    speeds = [
        f"{model['decode_tokens_per_s']:.0f} tokens/s"
        for model in report["models"]
        if model["decode_tokens_per_s"]
    ]
    console.print(_line("tokens", " · ".join([counts, *speeds])))
    if calls := _calls(report["states"]):
        console.print(_line("tools", shown(calls)))
    console.print(_line("sessions", f"opened {sessions['opened']} · closed {sessions['closed']}"))
    parts = [f"{name} {in_words(memory[name + '_bytes'])}" for name in ("ready", "end", "peak", "closed")]
    console.print(_line("memory", " · ".join(parts)))
    if hint is not None:
        console.print(_line("hint", shown(hint)))


def _calls(states: list[dict[str, Any]]) -> str:
    """How often each tool was called, and how often that came to nothing; empty if none was."""
    calls = [call for state in states for call in state.get("tools", ())]
    names = Counter(call["name"] for call in calls)
    others = Counter(call["status"] for call in calls if call["status"] != "ok")
    said = [f"{name} {count}" for name, count in sorted(names.items())[:MOST_ROWS]]
    said += [f"{count} {_STATUS[status]}" for status, count in sorted(others.items())]
    return " · ".join(said)


def without_items(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The states with one row for each list: of its items only those that failed have rows of their own."""
    rows: list[dict[str, Any]] = []
    lists: dict[str, dict[str, Any]] = {}
    for state in states:
        path = state.get("path", state["name"])
        ends = (at for at, character in enumerate(path) if character == "[")
        whole = next((lists[path[:at]] for at in ends if path[:at] in lists), None)
        if whole is None:
            row = dict(state)
            rows.append(row)
            if state["action"] == "for each":
                lists[path] = row
            continue
        if tokens := state.get("tokens"):
            before = whole.get("tokens") or dict.fromkeys(tokens, 0)
            whole["tokens"] = {name: before[name] + count for name, count in tokens.items()}
        if state["status"] == "failure":
            rows.append(state)
    return rows


def error_line(error: dict[str, Any]) -> str:
    """`State: file:line:column: message`, as much of it as is known, from the object of `--json`.

    Behind it: who ran the workflow that it happened in, the innermost first.
    """
    where = f"{_place(error['place'])}: " if error["place"] else ""
    state = f"{error['state']}: " if "state" in error else ""
    chain = [f"run by {one['state']} at {_place(one['place'])}" for one in reversed(error.get("chain", ()))]
    behind = f" ({'; '.join(chain)})" if chain else ""
    return f"{state}{where}{error['message']}{behind}"


def _executor(executor: dict[str, Any]) -> str:
    """Who was asked, and what left this machine for it."""
    prompts, failed = executor["prompts"], executor["failed"]
    text = f"{executor['name']} ({executor['where']})  {counted(prompts, 'prompt')}"
    text += f", {failed} failed" if failed else ""
    if executor["kind"] == LOCAL:
        return text
    sent = in_words(executor["sent_bytes"])
    text += f" · {sent} left this machine" if executor["remote"] else f" · {sent} sent, on this machine"
    untold = executor["tokens"].get("untold")
    if untold:
        text += f" · {counted(untold, 'answer')} without a count of tokens"
    if executor["cost"] is None:
        return text + " · cost not known"
    return text + (f" · cost {executor['cost']:.6g}" if executor["cost"] else "")


def _place(place: dict[str, Any]) -> str:
    return f"{place['path']}:{place['line']}:{place['column']}"


def _line(name: str, text: str) -> Text:
    line = Text()
    line.append(f"{name:<10}", style="bold")
    line.append(text)
    return line


def _model(model: dict[str, Any]) -> Text:
    text = f"{model['ref']}  loads: {model['loads']} ({lasting(model['load_s'])})"
    text += f" · weights {in_words(model['weights_bytes'])}"
    if model["private_weights_bytes"]:
        text += f" ({in_words(model['private_weights_bytes'])} private)"
    if model["kv_bytes"] is not None:
        text += f" · KV {in_words(model['kv_bytes'])} ({model['context_tokens']} tokens)"
    if model["threads"]:
        text += f" · {counted(model['threads'], 'thread')}"
    return _line("model", text)


def _states(states: list[dict[str, Any]], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("state", no_wrap=True, max_width=width)
    table.add_column("action")
    for heading in ("time", "evaluated", "reused", "generated"):
        table.add_column(heading, justify="right")
    hidden = len(states) - MOST_ROWS
    if hidden > 0:
        table.add_row(f"… {hidden} earlier", "", "", "", "", "")
    for state in states[-MOST_ROWS:]:
        tokens = state.get("tokens")
        numbers = (
            [str(tokens[name]) for name in ("evaluated", "reused", "generated")] if tokens else ["", "", ""]
        )
        style = "" if state["status"] == "success" else "red"
        table.add_row(
            Text(state.get("path", state["name"]), style=style), state["action"] or "", _time(state), *numbers
        )
    return table


def _time(state: dict[str, Any]) -> str:
    duration = state["duration_s"]
    if duration is None:
        return "-"
    return lasting(duration)


def _show_narrow(console: Console, states: list[dict[str, Any]]) -> None:
    """Two lines for each state, if a table has no room."""
    hidden = len(states) - MOST_ROWS
    if hidden > 0:
        console.print(f"… {hidden} earlier")
    for state in states[-MOST_ROWS:]:
        line = Text(state.get("path", state["name"]), style="" if state["status"] == "success" else "red")
        line.append(f"  {state['action'] or ''}  {_time(state)}", style="dim")
        console.print(line)
        if tokens := state.get("tokens"):
            counts = (f"{tokens[name]} {name}" for name in ("evaluated", "reused", "generated"))
            console.print(Text("  " + ", ".join(counts)))
