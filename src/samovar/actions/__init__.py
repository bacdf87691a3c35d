"""The verbs: what a state can do, one file each.

Above: the runner, and the library, which is given `parse_action`. Below: templates and the waist. `base.py`
is the contract; a new verb is a new file and one more name in `VERBS`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from samovar.actions.abort import Abort
from samovar.actions.ask import Approve, AskUser
from samovar.actions.base import Action
from samovar.actions.command import RunProgram
from samovar.actions.conditional import Conditional
from samovar.actions.find import FindFiles
from samovar.actions.for_each import ForEach, around
from samovar.actions.given import Value
from samovar.actions.log import Log
from samovar.actions.loop_clause import refuse_misspelt, take_clause
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.read import ReadFile
from samovar.actions.retries import Retries
from samovar.actions.scanner import Scanner
from samovar.actions.set import Set
from samovar.actions.shell import Shell
from samovar.actions.wait import Wait
from samovar.actions.workflow import RunWorkflow
from samovar.actions.write import WriteFile
from samovar.errors import Fault, FaultsError, Place, nearest
from samovar.language.markdown import TextBlock
from samovar.language.model_names import Named
from samovar.language.template import LIQUID_ONLY, Template

VERBS = (
    ExecutePrompt,
    Log,
    Set,
    Wait,
    RunWorkflow,
    Shell,
    RunProgram,
    ReadFile,
    WriteFile,
    FindFiles,
    AskUser,
    Approve,
    Abort,
    ForEach,
)

__all__ = ["VERBS", "Action", "parse_action"]


def parse_action(
    text: str,
    place: Place,
    *,
    is_old: bool = False,
    block: TextBlock | None = None,
    tools: Named | None = None,
) -> Action:
    """Reads what a state does. `place` is that of the text's first character; `is_old`: it is in an old file.

    `block`: the fenced block below the line, which is the text of the action. `tools`: those of a prompt that
    says nothing of tools itself.

    Raises `FaultsError`: with the code `unknown-action` if the first word is not a verb, else with
    `action-syntax`, `open-text`, `template-syntax`, `condition-syntax`, `unknown-function`, `unknown-option`,
    `option-value` or `shell-value`.
    """
    read = partial(_parse_plain, is_old=is_old, block=block, tools=_as_value(tools))
    if "{%" not in text:
        return read(text, place)
    try:
        return read(text, place)
    except FaultsError as error:
        # Tags within one text belong to its template; only those around parts of the line end up here.
        if all(fault.code == "action-syntax" or fault.code == "unknown-action" for fault in error.faults):
            return Conditional.of_line(text, place, read)
        raise


def _as_value(tools: Named | None) -> Value | None:
    if tools is None:
        return None
    template = Template.parse(tools.text, tools.place, LIQUID_ONLY)
    return Value(template=template, quoted=True, place=tools.place, given=tools.text, is_text=True)


def _parse_plain(
    text: str, place: Place, *, is_old: bool, block: TextBlock | None, tools: Value | None
) -> Action:
    begin = len(text) - len(text.lstrip())
    line = Scanner(text=text.rstrip(), place=place, at=begin, is_old=is_old, block=block, tools=tools)
    word = line.peek_word()
    if not is_old:
        line.form = ForEach.form
        refuse_misspelt(line)
    for verb in VERBS:
        if word in verb.words and verb.begins(line):
            line.form = verb.form
            clause = None if verb is ForEach else take_clause(line)
            action = verb.parse(line)
            if line.timeout is not None or line.again:
                action = replace(action, timeout=line.timeout, retries=Retries.of(line))
            return action if clause is None else around(clause, action, line)
    if "wait for user" in text.lower():
        return Wait.in_words(line)
    raise FaultsError([Fault(code="unknown-action", message=_unknown(text), place=line.where(begin))])


def _unknown(text: str) -> str:
    """The message about a text that is not an action."""
    first = text.split()[0] if text.split() else ""
    if not first:
        return "There is no action here."
    if (verb := next((one for one in VERBS if first.lower() in one.words), None)) is not None:
        return f"{first!r} is not an action in this form. The form is: {verb.form}"
    known = [known.capitalize() for verb in VERBS for known in verb.words if "_" not in known]
    offer = nearest(first.capitalize(), known) or f" An action begins with {', '.join(known)}."
    return f"{first!r} is not an action.{offer}"
