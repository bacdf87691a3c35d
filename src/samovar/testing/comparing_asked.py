"""The differences between the prompts and commands of a case and its expectations.

Above: `comparing.py`. Below: what was expected, and what was asked. Nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from samovar.language.item_paths import all_of
from samovar.testing.asked import AskedCommand, SentPrompt
from samovar.testing.difference import Difference
from samovar.testing.expectations import Told, Wanted

A = TypeVar("A", AskedCommand, SentPrompt)
Part = tuple[str, object, object]
"""A part of a request that differs: its name, the expected value, and the actual one."""


def holds(expected: str, got: str) -> bool:
    """Whether the text has the expected one in it; an empty one is only in an empty one."""
    return expected in got if expected else not got


def compare_prompts(
    expected: Mapping[str, Told[Wanted]], sent: Mapping[str, Sequence[SentPrompt]]
) -> Iterator[Difference]:
    return _compare("prompt", "asked {} prompts", expected, sent, _of_prompt)


def compare_commands(
    expected: Mapping[str, Told[Wanted]], ran: Mapping[str, Sequence[AskedCommand]]
) -> Iterator[Difference]:
    return _compare("command", "ran {} commands", expected, ran, _of_command)


def _compare(
    what: str,
    did: str,
    expected: Mapping[str, Told[Wanted]],
    asked: Mapping[str, Sequence[A]],
    differ: Callable[[Wanted, A], Iterator[Part]],
) -> Iterator[Difference]:
    for path, told in expected.items():
        came = all_of(path, asked)
        for number, one in enumerate(came, start=1):
            wanted = told.at(number)
            for how, want, got in differ(wanted, one) if wanted is not None else ():
                message = f"{what.capitalize()} {number} of {path!r}: {how}."
                yield Difference(
                    what=what,
                    message=message,
                    name=path,
                    expected=_plain(want),
                    got=_plain(got),
                    place=told.place,
                )
        if not came or (told.is_list and len(came) != len(told.values)):
            count = f"{did.format(len(came))[:-1]}" if len(came) == 1 else did.format(len(came) or "no")
            listed = f"; the list has {len(told.values)}, one for each visit" if told.is_list else ""
            yield Difference(what=what, message=f"{path!r} {count}{listed}.", name=path, place=told.place)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _of_prompt(wanted: Wanted, sent: SentPrompt) -> Iterator[Part]:
    for key, value in wanted.parts.items():
        if key == "contains":
            yield from _contained("what was sent does not contain this", value, sent.text)
        elif key == "options":
            assert isinstance(value, Mapping)
            for name, option in value.items():
                want, got = sent.read_option(name, option), sent.option(name)
                if want != got:
                    yield f"the option {name!r} is different", want, got
        elif key == "history":
            got = sent.part(key)
            if not _is_history(value, got):
                yield "the conversation before it is different", value, got
        elif key == "system" and isinstance(value, str):
            yield from _contained("the system prompt does not contain this", (value,), sent.part(key))
        elif sent.part(key) != value:
            yield (
                "the system prompt is different" if key == "system" else "its text is different",
                value,
                sent.part(key),
            )


def _is_history(wanted: object, got: object) -> bool:
    if not isinstance(wanted, tuple) or not isinstance(got, tuple):
        return False
    return len(wanted) == len(got) and all(map(holds, wanted, got))


def _of_command(wanted: Wanted, asked: AskedCommand) -> Iterator[Part]:
    said = {"exact": "its text", "working_dir": "its working_dir", "stdin": "its standard input"}
    for key, value in wanted.parts.items():
        got = asked.part("words" if isinstance(value, tuple) else key)
        if key == "contains":
            yield from _contained("it does not contain this", value, asked.text)
        elif key == "working_dir" and isinstance(value, str):
            if Path(os.path.normpath(asked.folder / value)) != Path(os.path.normpath(asked.command.folder)):
                yield f"{said[key]} is different", value, got
        elif got != value:
            yield f"{said.get(key, 'its ' + key)} is different", value, got


def _contained(how: str, wanted: object, got: object) -> Iterator[Part]:
    assert isinstance(wanted, tuple)
    for text in wanted:
        if not isinstance(got, str) or not holds(text, got):
            yield how, text, got
