"""What a line that begins with `/` does in a conversation.

Above: `chatting.py`. Below: `chat_branches.py`, `chat_saving.py`, the executors' table. Each gives a text for
the person, or raises a `SamovarError`, after which the conversation is as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from samovar.actions.base import brief
from samovar.cli.chat_branches import ChatBranch, ChatTree
from samovar.cli.chat_models import check_model
from samovar.cli.chat_saving import workflow_of
from samovar.cli.chat_tools import check_tools, read_patterns, what_there_is
from samovar.config import Settings
from samovar.errors import UsageError, nearest
from samovar.errors.counting import counted
from samovar.executors.base import ExecutorAbilities
from samovar.executors.table import declared_executor, member, names_of
from samovar.files import exists, read_text, write_whole
from samovar.generation import Options
from samovar.values.secrecy import Secrets


class Quit(Exception):
    """The person ends the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What commands work on."""

    conversation: ChatTree
    settings: Settings
    options: Options
    hidden: Secrets = field(default_factory=Secrets)
    """The keys of executors, which nobody is shown."""


def is_command(text: str) -> bool:
    """Whether it begins with one `/`; with two it is a message that begins with one."""
    return text.startswith("/") and not text.startswith("//")


def message_of(text: str) -> str:
    """What is said by a text that is no command."""
    return text[1:] if text.startswith("//") else text


def perform(desk: Desk, text: str) -> str:
    """Does what a command says. Raises `Quit`, and `UsageError` and others for what cannot be done."""
    word, _, rest = text.strip().partition(" ")
    known = {f"/{name}": one for name, one in COMMANDS.items()}
    if word not in known:
        raise UsageError(f"There is no {word}.{nearest(word, known)} /help shows what there is.")
    return known[word].does(desk, rest.strip())


def abilities(branch: ChatBranch, settings: Settings) -> ExecutorAbilities:
    """What whoever answers on this branch can do. Several executors hold no conversation together."""
    names = names_of(branch.executor or settings.executor)
    return member(names[0], settings).abilities if len(names) == 1 else ExecutorAbilities()


def _help(desk: Desk, rest: str) -> str:
    wide = max(len(f"/{name} {one.takes}") for name, one in COMMANDS.items())
    lines = [f"{f'/{name} {one.takes}':<{wide}}  {one.says}" for name, one in COMMANDS.items()]
    return "\n".join([*lines, "A line that begins with // is said with one /."])


def _file(desk: Desk, rest: str) -> str:
    if not rest:
        raise UsageError("/file takes the path of a file.")
    try:
        path = Path(rest).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{rest}: there is no home folder for it. Write the whole path.") from error
    text = read_text(path)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") else "\n"
    desk.conversation.attach(f"The file {path.name}:\n\n{fence}\n{text}{end}{fence}\n\n")
    return f"{path} ({counted(len(text), 'character', grouped=True)}) goes with what you say next."


def _fork(desk: Desk, rest: str) -> str:
    is_there = rest in desk.conversation.names
    name = desk.conversation.fork(_word(rest, "/fork") if rest else None)
    return f"On {name}, which was there." if is_there else f"On {name}: a copy. /back returns."


def _back(desk: Desk, rest: str) -> str:
    return f"On {desk.conversation.back()}."


def _model(desk: Desk, rest: str) -> str:
    branch, settings = desk.conversation.branch, desk.settings
    if not rest:
        return branch.model or f"{settings.model} (the default)"
    check_model(settings, rest, branch.executor)
    desk.conversation.change(model=rest)
    return f"{rest} answers from now on."


def _executor(desk: Desk, rest: str) -> str:
    branch, settings = desk.conversation.branch, desk.settings
    if not rest:
        return branch.executor or f"{settings.executor} (the default)"
    for name in names_of(rest):
        declared_executor(name, settings)
    desk.conversation.change(executor=rest)
    return f"{rest} answers from now on."


def _system(desk: Desk, rest: str) -> str:
    desk.conversation.change(system=rest or None)
    return "The system prompt is set." if rest else "There is no system prompt any more."


def _tools(desk: Desk, rest: str) -> str:
    branch, settings = desk.conversation.branch, desk.settings
    if not rest:
        return f"{', '.join(branch.tools) or 'none'}\nThere is: {', '.join(what_there_is(settings))}."
    patterns = read_patterns(rest)
    check_tools(patterns, branch.executor, settings)
    desk.conversation.change(tools=patterns)
    return (
        f"The model may call {', '.join(patterns)}." if patterns else "The model may call nothing any more."
    )


def _history(desk: Desk, rest: str) -> str:
    lines: list[str] = []
    for exchange in desk.conversation.branch.exchanges:
        lines.append(f"> {exchange.said.content}")
        for one in exchange.answers:
            if one.role == "tool":
                name, given = (one.call.name, one.call.arguments) if one.call else ("", "")
                lines.append(f"    {name} {brief(given, 120)}  {brief(one.content, 160)}")
            elif one.content:
                lines.append(one.content)
    return "\n".join(lines) or "Nothing was said yet."


def _tokens(desk: Desk, rest: str) -> str:
    branch, total = desk.conversation.branch, desk.conversation.tokens
    lines = []
    if branch.exchanges:
        last = branch.exchanges[-1].tokens
        whole = last.evaluated + last.reused + last.generated
        lines.append(
            f"on {branch.name}: {counted(whole, 'token')} in {counted(len(branch.exchanges), 'exchange')}"
        )
    lines.append(
        f"in all: {total.evaluated} evaluated, {total.reused} reused, {total.generated} generated"
        + (f" ({total.reasoning} of them reasoning)" if total.reasoning else "")
    )
    return "\n".join(lines)


def _save(desk: Desk, rest: str) -> str:
    path = Path(rest)
    if path.suffix not in (".md", ".markdown"):
        raise UsageError("/save takes the path of a Markdown file, as in /save talk.md.")
    if exists(path):
        raise UsageError(f"{path} is there already.")
    text = workflow_of(desk.conversation.branch, desk.options, date.today())
    write_whole(path, desk.hidden.mask(text))
    return f"Wrote {path}. Run it: samovar run {path}"


def _quit(desk: Desk, rest: str) -> str:
    raise Quit


def _word(text: str, command: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,40}", text):
        raise UsageError(f"{command} takes a name of letters, digits, `-`, `_` and `.`, not {text!r}.")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCommand:
    """One of them."""

    takes: str
    """What follows its name; empty: nothing."""
    says: str
    """For `/help`."""
    does: Callable[[Desk, str], str]


COMMANDS: Mapping[str, ChatCommand] = {
    "help": ChatCommand(takes="", says="shows this", does=_help),
    "file": ChatCommand(takes="PATH", says="puts a text file before what you say next", does=_file),
    "fork": ChatCommand(takes="[NAME]", says="goes on in a copy, or in the one of that name", does=_fork),
    "back": ChatCommand(takes="", says="returns to what this was forked from", does=_back),
    "model": ChatCommand(takes="[NAME]", says="shows or changes the model", does=_model),
    "executor": ChatCommand(takes="[NAME]", says="shows or changes who answers", does=_executor),
    "system": ChatCommand(
        takes="[TEXT]", says="sets the system prompt; without TEXT there is none", does=_system
    ),
    "tools": ChatCommand(
        takes="[NAMES]",
        says='shows or changes what the model may call: "files.read, git.*", none',
        does=_tools,
    ),
    "history": ChatCommand(takes="", says="shows what was said here, with what was called", does=_history),
    "tokens": ChatCommand(takes="", says="shows what was evaluated, reused and generated", does=_tokens),
    "save": ChatCommand(takes="FILE.md", says="writes the conversation as a workflow", does=_save),
    "quit": ChatCommand(takes="", says="ends the conversation, as Ctrl-D does", does=_quit),
}
