"""`samovar runs show`: one kept run for a person: its path, times, prompts and answers, tokens, memory.

Above: `of_runs.py`. Below: the wire of kept runs, `kept_drawing.py`. It is paged like `git log`: only at a
terminal, and by the user's own pager.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from samovar.cli.generated_words import generated_words
from samovar.cli.kept_drawing import target_of, text_of
from samovar.cli.kept_files import read_run
from samovar.cli.kept_states import MARKS
from samovar.cli.output import json_text, write_json
from samovar.cli.showing import shown, visible
from samovar.cli.terminal import put
from samovar.errors import NotFoundError, UsageError
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.journal.base import VisitKey
from samovar.memory import in_words
from samovar.running.kept_wire import visit_key
from samovar.values import to_text

Object = Mapping[str, Any]
SHORT_LINES = 3
"""Of a prompt or an answer, if the run is shown as a whole and has many visits."""
MANY_VISITS = 20
"""From here on, prompts of a whole run are cut short; `--state` and `--visit` show them in full."""

DONE = {
    "command": "ran",
    "write": "wrote",
    "append": "added to",
    "find": "looked for",
    "wait": "waited",
    "question": "asked",
    "call": "called",
}
"""By the kind of what was performed."""
TEXT_OF = {"command": "standard input:", "call": "arguments:"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What of a run is shown."""

    state: str | None = None
    """Path of a state, or its name."""
    visit: int | None = None
    """Number of a visit in the run."""

    def states(self, run: Object) -> list[Object]:
        """The visits that are meant. Raises `NotFoundError` if there are none."""
        found = [one for one in run["states"] if self._is_meant(one)]
        if not found and self.visit is not None:
            raise NotFoundError("visit", str(self.visit), ())
        if not found and self.state is not None:
            raise NotFoundError("state", self.state, dict.fromkeys(one["path"] for one in run["states"]))
        return found

    def _is_meant(self, one: Object) -> bool:
        if self.visit is not None and one["number"] != self.visit:
            return False
        return self.state in (None, one["path"], one["path"].rpartition("/")[2])


def show_run(settings: Mapping[str, Any], run: str, narrowed: Narrowed, *, as_json: bool) -> int:
    """Shows one run, and returns the exit status."""
    told = read_run(settings, run)
    states = narrowed.states(told)
    if as_json:
        write_json({**told, "states": states})
        return 0
    is_whole = narrowed == Narrowed()
    lines = _head(told) if is_whole else iter(())
    is_short = is_whole and len(states) > MANY_VISITS
    _page([*lines, *_visits(told, states, is_short=is_short), *(_end(told) if is_whole else ())])
    return 0


def _head(run: Object) -> Iterator[str]:
    began = datetime.fromtimestamp(run["started_at"])
    took_s = (run["ended_at"] or run["touched_at"]) - run["started_at"]
    yield f"{run['workflow']}: {run['status']}"
    yield f"run       {run['run']}"
    yield f"file      {run['path'] or '-'}"
    yield f"started   {began:%Y-%m-%d %H:%M:%S}, took {lasting(took_s)}"
    yield f"tokens    {_tokens(run['tokens'])}"
    peak = max((one["memory_bytes"] for one in run["states"] if one.get("memory_bytes")), default=None)
    if peak is not None:
        yield f"memory    at most {in_words(peak)} at the end of a state"
    if run["message"]:
        yield f"why       {shown(run['message'])}"
    yield ""
    drawing = text_of(run)
    if drawing is not None:
        yield from drawing.splitlines()
        yield ""
    if run["steps"]:
        yield from _path(run)


def _path(run: Object) -> Iterator[str]:
    """The transitions, a line each; of a long run the first and the last."""
    steps = run["steps"]
    yield "Path"
    for number, one in enumerate(steps):
        if len(steps) > 2 * MANY_VISITS and MANY_VISITS <= number < len(steps) - MANY_VISITS:
            if number == MANY_VISITS:
                yield f"  … {len(steps) - 2 * MANY_VISITS:,} more (--json has all)"
            continue
        source = VisitKey(path=one["from"], line=one["branch"] or "")
        label = f": {one['label']}" if one["label"] else ""
        yield f"  {one['at'] - run['started_at']:9.2f} s  {source} → {target_of(one)}{label}"
    yield ""


def _visits(run: Object, states: list[Object], *, is_short: bool) -> Iterator[str]:
    for one in states:
        yield _title(run, one)
        yield from _details(run, one, is_short=is_short)
    if is_short:
        yield f"Prompts are cut to {SHORT_LINES} lines each: --state NAME and --visit N show them in full."
        yield ""


def _title(run: Object, one: Object) -> str:
    took = f", {lasting(one['duration_s'])}" if "duration_s" in one else f", {one['status']}"
    after_s = one["entered_at"] - run["started_at"]
    name = f"{MARKS[one['status']]} {one['number']}  {visit_key(one)}"
    return f"{name}  {one['verb'] or ''}  after {lasting(after_s)}{took}"


def _details(run: Object, one: Object, *, is_short: bool) -> Iterator[str]:
    if "taken_from" in one:
        yield f"    taken from run {one['taken_from']}"
    if one.get("what") and not one.get("sets") and not one.get("performed"):
        yield f"    {shown(one['what'])}"
    for done in one.get("performed", ()):
        yield from _performed(run, done, is_short=is_short)
    for load in one.get("loads", ()):
        yield f"    waited {lasting(load['duration_s'])} while {load['model']} was loaded"
    for number, prompt in enumerate(one.get("prompts", ())):
        if number:
            yield "    ── asked again"
        yield from _prompt(prompt, is_short=is_short)
    if "error" in one:
        yield from _block("failed", one["error"]["message"], is_short=is_short)
    for name, value in one.get("sets", {}).items():
        yield from _block(f"{name} =", _text(value), is_short=is_short)
    if not one.get("sets") and not one.get("prompts") and one.get("value") is not None:
        yield from _block("gave", _text(one["value"]), is_short=is_short)
    if one.get("memory_bytes"):
        yield f"    memory {in_words(one['memory_bytes'])}"
    yield ""


def _performed(run: Object, done: Object, *, is_short: bool) -> Iterator[str]:
    """What was done outside of the run; the folder only if it is not the one that the run was started in."""
    yield from _block(DONE.get(done["kind"]) or done["kind"], done["what"], is_short=is_short)
    if done.get("folder", run["folder"]) != run["folder"]:
        yield f"    in {done['folder']}"
    for name, value in done.get("environment", {}).items():
        yield from _block(f"with {name} =", value, is_short=is_short)
    if "text" in done:
        yield from _block(TEXT_OF.get(done["kind"], "text:"), done["text"], is_short=is_short)


def _prompt(prompt: Object, *, is_short: bool) -> Iterator[str]:
    where = prompt["model"] or "no model answered"
    where += f" by {prompt['executor']}" if prompt["executor"] else ""
    session = f", session {prompt['session']}" if prompt["session"] else ""
    session += f", a copy of {prompt['fork']}" if prompt["fork"] else ""
    yield f"    {where}{session}: {_tokens(prompt['tokens'])}, {lasting(prompt['duration_s'])}"
    for message in prompt["messages"]:
        yield from _block(f"{message['role']}:", message["content"], is_short=is_short)
    answer = prompt["answer"]
    if answer is None:
        yield "    (no answer)"
        return
    if answer.get("reasoning"):
        yield from _block("reasoning:", answer["reasoning"], is_short=is_short)
    yield from _block("answer:", answer["content"], is_short=is_short)
    for call in answer.get("calls", ()):
        yield from _block(f"calls {call['name']}", call["arguments"], is_short=is_short)


def _block(name: str, text: str, *, is_short: bool) -> Iterator[str]:
    lines = text.split("\n")
    if len(lines) == 1 and len(text) <= 80:
        yield f"    {name} {text}"
        return
    yield f"    {name}"
    kept = lines[:SHORT_LINES] if is_short else lines
    for line in kept:
        yield f"      {line[:300] + ' …' if is_short and len(line) > 300 else line}"
    if len(kept) < len(lines):
        left = len(lines) - len(kept)
        yield f"      … {counted(left, 'more line', grouped=True)}"


def _tokens(tokens: Object) -> str:
    prompt = tokens["evaluated"] + tokens["reused"]
    text = f"prompt {prompt:,} ({tokens['evaluated']:,} evaluated, {tokens['reused']:,} reused)"
    return f"{text}, {generated_words(tokens, grouped=True)}"


def _end(run: Object) -> Iterator[str]:
    yield "Variables" if run["ended_at"] else "Variables so far"
    for name, value in run["variables"].items():
        yield from _block(f"{name} =", _text(value), is_short=False)
    for name in set(run["secrets"]) - set(run["variables"]):
        yield f"    {name} = [secret {name}]"


def _text(value: object) -> str:
    return json_text(value) if isinstance(value, dict | list) else to_text(value)


def _page(lines: list[str]) -> None:
    """To standard output; at a terminal that has fewer lines, by the user's pager."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    if not (sys.stdout.isatty() and sys.stdin.isatty()) or len(lines) < shutil.get_terminal_size().lines:
        put(text)
        return
    pager = os.environ.get("PAGER", "less" if shutil.which("less") else "")
    if pager in ("", "cat"):
        put(text)
        return
    environment = {"LESS": "FRX", **os.environ}
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", pager],
            stdin=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
        process.communicate(visible(text))
    except OSError as error:
        raise UsageError(f"PAGER={pager!r} cannot be started: {error.strerror}.") from error
