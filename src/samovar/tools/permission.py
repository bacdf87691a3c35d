"""What tools may do without asking, and the question that is asked about all else.

Above: the tools that write, run or reach something. Below: the setting `allow`, and the run's one door for
questions. A rule is `KIND:PATTERN`: `write:out/**`, `shell:git log *`, `fetch:example.org`, `tool:git.*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from samovar.actions.file_places import Search, Target
from samovar.actions.programs import list_refusal, refusal
from samovar.actions.question import YES, Asking, Filled
from samovar.actions.shell_words import Word
from samovar.actions.tools import ToolResult, refused
from samovar.errors import UsageError
from samovar.tools.base import Here

KINDS = ("write", "shell", "fetch", "tool")
ANY_WORDS, ANY_OPERANDS = "**", "*"


def check_rules(rules: Iterable[str]) -> None:
    """Raises `UsageError` for a rule that is none."""
    for rule in rules:
        kind, colon, pattern = rule.partition(":")
        if not colon or kind.strip() not in KINDS or not pattern.strip():
            raise UsageError(
                f"allow cannot have {rule[:80]!r}: expected {', '.join(f'{one}:…' for one in KINDS)}, as in "
                "write:out/**"
            )


def patterns(rules: Iterable[str], kind: str) -> Iterator[str]:
    """What the rules of a kind allow."""
    for rule in rules:
        own, _, pattern = rule.partition(":")
        if own.strip() == kind and pattern.strip():
            yield pattern.strip()


def may_write(rules: Iterable[str], target: Target) -> bool:
    """Whether a file may be written without asking. `*` is of one name, `**` of any number of folders."""
    return any(_is_below(pattern, target) for pattern in patterns(rules, "write"))


def _is_below(pattern: str, target: Target) -> bool:
    search = Search(folder=Path(), shown="", below=tuple(pattern.removeprefix("./").split("/")), pattern="")
    places = search.begin()
    for name in target.below:
        places = search.step(places, name)
    return search.is_found(places)


def may_run(rules: Iterable[str], words: Sequence[str]) -> bool:
    """Whether a program may be run without asking.

    A `*` at the end of a rule is any words that no program takes for an option, `**` any words at all; in
    neither a program reads code, as `sh` and `python` do.
    """
    return any(_is_command(pattern.split(), words) for pattern in patterns(rules, "shell"))


def _is_command(rule: Sequence[str], words: Sequence[str]) -> bool:
    *fixed, last = rule
    if last not in (ANY_WORDS, ANY_OPERANDS):
        return list(words) == list(rule)
    rest = words[len(fixed) :]
    if not fixed or list(words[: len(fixed)]) != fixed:
        return False
    if last == ANY_OPERANDS and any(word.startswith("-") for word in rest):
        return False
    held = [Word(word, None, quoted=True) for word in fixed]
    held += [Word("\0", len(fixed) + number, quoted=True) for number in range(len(rest))]
    lists = set(range(len(fixed), len(words))) if last == ANY_WORDS else set[int]()
    return refusal(held, None) is None and list_refusal(held, lists) is None


def rule_for_command(words: Sequence[str]) -> str | None:
    """A rule that would allow it, the widest first; None if no rule can."""
    rules = (f"shell:{words[0]} {ANY_OPERANDS}", f"shell:{words[0]} {ANY_WORDS}", f"shell:{' '.join(words)}")
    return next((rule for rule in rules if may_run([rule], words)), None)


def rule_for_file(target: Target) -> str | None:
    """A rule that would allow writing it: its own path, or all of its folder; None if no rule can."""
    folder = "/".join(target.below[:-1])
    rules = (f"write:{'/'.join(target.below)}", f"write:{folder}/*" if folder else "write:*")
    return next((rule for rule in rules if may_write([rule], target)), None)


def may_fetch(rules: Iterable[str]) -> tuple[str, ...]:
    """The hosts whose pages may be fetched."""
    return tuple(pattern.lower() for pattern in patterns(rules, "fetch"))


def host_is_allowed(rules: Iterable[str], url: str) -> bool:
    """Whether pages of the host of an address may be fetched."""
    from samovar.tools.pages import host_of, is_among  # with all that fetching takes, which few runs need

    host = host_of(url)
    return host is not None and is_among(host, may_fetch(rules))


def may_call(rules: Iterable[str], name: str) -> bool:
    """Whether a tool of a server may be called without asking."""
    return any(fnmatchcase(name, pattern) for pattern in patterns(rules, "tool"))


async def ask(here: Here, doing: str, what: str, rule: str | None) -> ToolResult | None:
    """Asks whether the model may do something; None: it may, else what it is told.

    `rule`: what would allow it in the settings; None if nothing there can.
    """
    reply = await here.context.ask_user(
        Asking(kind="tool", parts=(f"The model wants to {doing}: ", Filled(what)))
    )
    if reply == YES:
        return None
    if reply is None:
        way = f"answer with --yes or {here.answer('yes')}"
        if rule is not None:
            way = f"set allow = [{rule!r}] in your settings, or {way}"
        here.context.warn(
            f"The model wanted to {doing} ({what[:200]}), and nobody can be asked. To allow it, {way}."
        )
        return refused(f"It is not allowed to {doing}, and nobody can be asked. Do without it.")
    return refused(f"The user does not allow it to {doing}. Do without it.")
